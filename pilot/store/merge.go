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
	var out []*model.Service
	for _, svc := range candidates {
		at := slices.IndexFunc(out, func(o *model.Service) bool { return o.Namespace == svc.Namespace })
		if at < 0 {
			out = append(out, svc)
			continue
		}
		one := *out[at]
		switch {
		case one.Key.Kind == model.KindService && svc.Key.Kind == model.KindService:
			if one.Key.Cluster != "" && svc.Key.Cluster == "" {
				one, svc = *svc, out[at]
			}
		case one.Key.Kind == model.KindServiceEntry && agree(&one, svc):
			var whole bool
			if one.Ports, whole = joinPorts(one.Ports, svc.Ports); !whole {
				one.Hidden = append(slices.Clip(one.Hidden), model.Source{Key: svc.Key, Origin: svc.Origin, Partly: true})
			}
			one.Addresses = join(one.Addresses, svc.Addresses)
			one.SubjectAltNames = sorted(join(one.SubjectAltNames, svc.SubjectAltNames))
		default:
			one.Hidden = append(slices.Clip(one.Hidden), model.Source{Key: svc.Key, Origin: svc.Origin})
			if one.Key.Kind == model.KindServiceEntry {
				out[at] = &one
				continue
			}
			one.SubjectAltNames = sorted(join(one.SubjectAltNames, svc.SubjectAltNames))
		}
		one.ServiceAccounts = sorted(join(one.ServiceAccounts, svc.ServiceAccounts))
		out[at] = &one
	}
	return out
}

// agree tells whether two services of ServiceEntries differ by their ports, addresses, names and location only.
func agree(a, b *model.Service) bool {
	return a.Resolution == b.Resolution && slices.Equal(a.ExportTo, b.ExportTo) && (len(a.Addresses) == 0) == (len(b.Addresses) == 0)
}

// joinPorts adds to ports those of another service that have a number and a name of their own, and tells whether all that
// it has is among them then.
func joinPorts(a, b []model.ServicePort) (out []model.ServicePort, whole bool) {
	out, whole = slices.Clip(a), true
	for _, p := range b {
		taken := slices.IndexFunc(out, func(o model.ServicePort) bool { return o.Port == p.Port || o.Name == p.Name })
		if taken < 0 {
			out = append(out, p)
		} else if out[taken] != p {
			whole = false
		}
	}
	return out, whole
}

// join gives a list with what another has beside it.
func join(a, b []string) []string {
	out := slices.Clip(a)
	for _, s := range b {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func sorted(list []string) []string {
	out := slices.Clone(list)
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
