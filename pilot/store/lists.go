package store

import (
	"maps"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// listed tells whether readers ask for the objects of a kind by namespace.
func listed(kind model.Kind) bool {
	switch kind {
	case model.KindVirtualService, model.KindDestinationRule, model.KindGateway,
		model.KindSidecar, model.KindPeerAuthentication:
		return true
	}
	return false
}

// moved are rows that leave lists and rows that come into them.
type moved[T any] struct{ out, in []T }

// lists brings the lists by kind and namespace up to what changed, and gives the services and
// VirtualServices that changed with who sees them: all of them where everything is new.
func (s *state) lists() (services moved[scoped[*model.Service]], routes moved[scoped[*model.Object]]) {
	if s.full || s.last == nil {
		s.forgetLists()
	}
	namespaces := map[string]moved[*model.Service]{}
	for key, former := range s.formerServices {
		m := namespaces[key.Namespace]
		if former != nil {
			m.out, services.out = append(m.out, former), append(services.out, scopedService(former))
		}
		if now := s.services.row(key); now != nil {
			m.in, services.in = append(m.in, now), append(services.in, scopedService(now))
		}
		namespaces[key.Namespace] = m
	}
	for ns, m := range namespaces {
		setRows(&s.nsServices, ns, replaceRows(s.nsServices.row(ns), m.out, m.in, compareServices))
	}
	kinds := map[nsKind]moved[*model.Object]{}
	for key, former := range s.former {
		at := nsKind{key.Kind, key.Namespace}
		m := kinds[at]
		if former != nil {
			m.out = append(m.out, former)
		}
		if now := s.objects.row(key); now != nil {
			m.in = append(m.in, now)
		}
		kinds[at] = m
	}
	for at, m := range kinds {
		setRows(&s.byKind, at, replaceRows(s.byKind.row(at), m.out, m.in, model.Older))
		switch at.kind {
		case model.KindVirtualService:
			routes.out = append(routes.out, s.scopedVirtualServices(m.out)...)
			routes.in = append(routes.in, s.scopedVirtualServices(m.in)...)
		case model.KindDestinationRule:
			s.listRules(at, m)
		}
	}
	return services, routes
}

// forgetLists empties all lists and marks everything to come into them.
func (s *state) forgetLists() {
	s.nsServices, s.byKind = edit[string, []*model.Service]{}, edit[nsKind, []*model.Object]{}
	s.exactRules, s.wildRules = edit[nsHost, []*model.Object]{}, edit[string, []wildRule]{}
	s.podRules, s.exported = edit[string, []*model.Object]{}, edit[string, []*model.Object]{}
	clear(s.former)
	clear(s.formerServices)
	s.services.all(func(key model.Key, _ *model.Service) { s.formerServices[key] = nil })
	for at, objects := range s.members {
		if listed(at.kind) {
			for _, o := range objects {
				s.former[o.Key] = nil
			}
		}
	}
}

// setRows sets a list, of which an empty one has no row.
func setRows[K comparable, T any](lists *edit[K, []T], key K, rows []T) {
	if len(rows) == 0 {
		lists.delete(key)
	} else {
		lists.set(key, rows)
	}
}

// listRules brings the lists of a namespace's DestinationRules up to what changed.
func (s *state) listRules(at nsKind, m moved[*model.Object]) {
	hosts := map[nsHost]moved[*model.Object]{}
	others := false // rules about a suffix or for some workloads
	sort := func(o *model.Object, add func(*moved[*model.Object])) {
		rule := o.Spec.(*networking.DestinationRule)
		host := fullHost(rule.GetHost(), o.Namespace, s.domain)
		wild := strings.HasPrefix(host, "*")
		others = others || wild || rule.GetWorkloadSelector() != nil
		if !wild {
			m := hosts[nsHost{at.namespace, host}]
			add(&m)
			hosts[nsHost{at.namespace, host}] = m
		}
	}
	for _, o := range m.out {
		sort(o, func(m *moved[*model.Object]) { m.out = append(m.out, o) })
	}
	for _, o := range m.in {
		sort(o, func(m *moved[*model.Object]) { m.in = append(m.in, o) })
	}
	for host, m := range hosts {
		setRows(&s.exactRules, host, replaceRows(s.exactRules.row(host), m.out, m.in, model.Older))
	}
	if others {
		s.listOtherRules(at)
	}
	s.listExported(m)
}

// listOtherRules lists those rules of a namespace that are not only about one host.
func (s *state) listOtherRules(at nsKind) {
	var wild []wildRule
	var workload []*model.Object
	for _, o := range s.byKind.row(at) {
		rule := o.Spec.(*networking.DestinationRule)
		if suffix, ok := strings.CutPrefix(fullHost(rule.GetHost(), o.Namespace, s.domain), "*"); ok {
			wild = append(wild, wildRule{suffix, o})
		}
		if rule.GetWorkloadSelector() != nil {
			workload = append(workload, o)
		}
	}
	slices.SortStableFunc(wild, func(a, b wildRule) int { return len(b.suffix) - len(a.suffix) })
	setRows(&s.wildRules, at.namespace, wild)
	setRows(&s.podRules, at.namespace, workload)
}

// listExported brings the lists of rules that namespaces see by name up to what changed.
func (s *state) listExported(m moved[*model.Object]) {
	for _, o := range m.out {
		for _, ns := range ruleScope(o, s.mesh).namespaces {
			rest := slices.DeleteFunc(slices.Clone(s.exported.row(ns)), func(other *model.Object) bool { return other == o })
			setRows(&s.exported, ns, rest)
		}
	}
	for _, o := range m.in {
		for _, ns := range ruleScope(o, s.mesh).namespaces {
			s.exported.set(ns, append(slices.Clip(s.exported.row(ns)), o))
		}
	}
}

func scopedService(svc *model.Service) scoped[*model.Service] {
	return scoped[*model.Service]{svc, scopeOf(svc.ExportTo, svc.Namespace)}
}

// scopedVirtualServices gives the objects with who may see them.
func (s *state) scopedVirtualServices(objects []*model.Object) []scoped[*model.Object] {
	out := make([]scoped[*model.Object], len(objects))
	for i, o := range objects {
		out[i] = scoped[*model.Object]{o, virtualServiceScope(o, s.mesh)}
	}
	return out
}

func (s *state) gatewaysDirty() bool {
	for key := range s.former {
		if key.Kind == model.KindGateway {
			return true
		}
	}
	return false
}

func (s *state) allGateways() []*model.Object {
	var out []*model.Object
	for at, objects := range s.members {
		if at.kind == model.KindGateway {
			out = slices.AppendSeq(out, maps.Values(objects))
		}
	}
	slices.SortFunc(out, model.Older)
	return out
}
