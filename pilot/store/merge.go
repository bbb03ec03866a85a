package store

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// merged joins the services of a hostname that are one, so that a namespace has one at most: a Service
// in several clusters, and ServiceEntries that agree about all but their ports. Candidates are in the
// order of model.CompareServices. Of two ports with one number the first counts. A ServiceEntry that agrees
// with none before it is hidden; what names it has count for a Service all the same, as Istio documents.
func merged(candidates []*model.Service) []*model.Service {
	if len(candidates) == 1 {
		return candidates
	}
	var out []*merging
	of := map[string]*merging{} // by namespace
	for _, svc := range candidates {
		if m := of[svc.Namespace]; m != nil {
			m.add(svc)
			continue
		}
		m := &merging{first: svc}
		of[svc.Namespace], out = m, append(out, m)
	}
	services := make([]*model.Service, len(out))
	for i, m := range out {
		services[i] = m.service()
	}
	return services
}

// merging is the one service that several of a namespace become. Each is looked at once.
type merging struct {
	first *model.Service // itself the result while it is alone
	one   *model.Service // its copy, to which the others add

	joined                     bool // one of them adds more than that it is hidden
	ports                      portSet
	addresses, names, accounts stringSet
}

// start copies the first service before another one adds to it.
func (m *merging) start() {
	if m.one != nil {
		return
	}
	one := *m.first
	m.one = &one
	m.one.Hidden = slices.Clip(one.Hidden)
	m.ports = newPortSet(one.Ports)
	m.addresses, m.names, m.accounts = newStringSet(one.Addresses), newStringSet(one.SubjectAltNames), newStringSet(one.ServiceAccounts)
}

// add joins another service to it, or notes that the other is hidden.
func (m *merging) add(svc *model.Service) {
	m.start()
	source := model.Source{Key: svc.Key, Origin: svc.Origin}
	switch entry := m.one.Key.Kind == model.KindServiceEntry; {
	case !entry && svc.Key.Kind == model.KindService:
		if m.one.Key.Cluster != "" && svc.Key.Cluster == "" {
			accounts := m.accounts.list
			*m = merging{first: svc}
			m.start()
			svc = &model.Service{ServiceAccounts: accounts}
		}
	case entry && agree(m.one, svc):
		if !m.ports.add(svc.Ports) {
			source.Partly = true
			m.one.Hidden = append(m.one.Hidden, source)
		}
		m.addresses.add(svc.Addresses...)
		m.names.add(svc.SubjectAltNames...)
	default:
		m.one.Hidden = append(m.one.Hidden, source)
		if entry {
			return
		}
		m.names.add(svc.SubjectAltNames...)
	}
	m.accounts.add(svc.ServiceAccounts...)
	m.joined = true
}

// service gives what all became.
func (m *merging) service() *model.Service {
	switch {
	case m.one == nil:
		return m.first
	case !m.joined:
		return m.one
	}
	m.one.Ports, m.one.Addresses = m.ports.list, m.addresses.list
	m.one.SubjectAltNames, m.one.ServiceAccounts = m.names.sorted(), m.accounts.sorted()
	return m.one
}

// agree tells whether two services of ServiceEntries differ by their ports, addresses, names and location only.
func agree(a, b *model.Service) bool {
	return a.Resolution == b.Resolution && slices.Equal(a.ExportTo, b.ExportTo) && (len(a.Addresses) == 0) == (len(b.Addresses) == 0)
}

// portSet is ports, in which the first with a number or a name is found without looking at all.
type portSet struct {
	list     []model.ServicePort
	byNumber map[uint32]int
	byName   map[string]int
}

func newPortSet(ports []model.ServicePort) portSet {
	s := portSet{slices.Clip(ports), map[uint32]int{}, map[string]int{}}
	for i, p := range ports {
		s.note(p, i)
	}
	return s
}

func (s *portSet) note(p model.ServicePort, at int) {
	if _, taken := s.byNumber[p.Port]; !taken {
		s.byNumber[p.Port] = at
	}
	if _, taken := s.byName[p.Name]; !taken {
		s.byName[p.Name] = at
	}
}

// add takes the ports of another service that have a number and a name of their own, and tells whether all that
// it has is there then.
func (s *portSet) add(ports []model.ServicePort) (whole bool) {
	whole = true
	for _, p := range ports {
		if at, taken := s.find(p); !taken {
			s.note(p, len(s.list))
			s.list = append(s.list, p)
		} else if s.list[at] != p {
			whole = false
		}
	}
	return whole
}

// find gives the first port with the number or the name of another one.
func (s *portSet) find(p model.ServicePort) (at int, taken bool) {
	number, numbered := s.byNumber[p.Port]
	name, named := s.byName[p.Name]
	switch {
	case numbered && named:
		return min(number, name), true
	case numbered:
		return number, true
	}
	return name, named
}

// stringSet is a list without what would come twice.
type stringSet struct {
	list []string
	has  map[string]struct{}
}

func newStringSet(list []string) stringSet {
	s := stringSet{slices.Clip(list), make(map[string]struct{}, len(list))}
	for _, one := range list {
		s.has[one] = struct{}{}
	}
	return s
}

func (s *stringSet) add(list ...string) {
	for _, one := range list {
		if _, has := s.has[one]; !has {
			s.has[one] = struct{}{}
			s.list = append(s.list, one)
		}
	}
}

func (s *stringSet) sorted() []string {
	out := slices.Clone(s.list)
	slices.Sort(out)
	return out
}

// hidingFrom notes with what everyone sees which ServiceEntries are seen in their own namespaces only,
// though they are for everyone.
func hidingFrom(everyones *model.Service, candidates []*model.Service) *model.Service {
	out := everyones
	for _, svc := range candidates {
		if svc == everyones || svc.Key.Kind != model.KindServiceEntry || !model.ExportTo(svc.ExportTo, nil, svc.Namespace).Everyone {
			continue
		}
		if out == everyones {
			one := *everyones
			one.Hidden = slices.Clone(one.Hidden)
			out = &one
		}
		out.Hidden = append(out.Hidden, model.Source{Key: svc.Key, Origin: svc.Origin})
	}
	return out
}
