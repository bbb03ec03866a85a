package store

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// services are the tables of services. Which one a namespace sees under a hostname is decided in seen.
type services struct {
	byKey map[model.Key][]*model.Service // of each object

	byHost      *index[*model.Service]   // all of a hostname, whoever sees them, model.CompareServices first
	merged      *table[[]*model.Service] // of those one a namespace
	inNamespace *index[*model.Service]   // by the namespace they live in
	// visible is what everyone sees under a hostname, and, by client, what a namespace sees instead.
	visible *table[*model.Service]
	clients map[string][]string // that visible has a row for, by hostname
	// list is all of visible, for everyone or for a client, sorted by hostname, and under the names below
	// those of them of which that is true.
	list *index[*model.Service]
}

// The lists of some of the visible services.
const (
	dynamicHosts    = "dynamic hosts"     // proxies resolve their hosts as they are asked for
	endpointsByNode = "endpoints by node" // their endpoints depend on the client's node
	locatedNames    = "located names"     // proxies resolve names that are near or far
)

func newServices(changed *journal, own *owned) *services {
	return &services{
		byKey:       map[model.Key][]*model.Service{},
		byHost:      newIndex(Index{Name: "all services of a host"}, nil, own, model.CompareServices),
		merged:      newTable[[]*model.Service]("services of a host", changed, nil),
		inNamespace: newIndex(Index{Name: "services of a namespace"}, changed, own, compareHostnames),
		visible:     newTable[*model.Service]("services", changed, own),
		clients:     map[string][]string{},
		list:        newIndex(Index{Name: "visible services", Own: true}, changed, own, compareHostnames),
	}
}

func compareHostnames(a, b *model.Service) int {
	if c := strings.Compare(a.Hostname, b.Hostname); c != 0 {
		return c
	}
	return model.CompareServices(a, b)
}

// put replaces the services of an object.
func (t *services) put(k model.Key, next []*model.Service) {
	for _, svc := range t.byKey[k] {
		t.byHost.take(svc, false, Place{Name: svc.Hostname})
		t.inNamespace.take(svc, false, Place{Namespace: svc.Namespace})
	}
	for _, svc := range next {
		t.byHost.put(svc, false, Place{Name: svc.Hostname})
		t.inNamespace.put(svc, false, Place{Namespace: svc.Namespace})
	}
	set(t.byKey, k, next)
}

// flush brings the tables up to what was put.
func (t *services) flush() {
	for _, k := range t.byHost.flush() {
		one := merged(t.byHost.lists.row(k))
		if len(one) == 0 {
			t.merged.drop(k)
		} else {
			t.merged.put(k, one)
		}
		t.show(k.Name, seen(one))
	}
	t.inNamespace.flush()
	t.list.flush()
}

// show puts what is visible under a hostname now, by client, in the place of what was.
func (t *services) show(host string, now map[string]*model.Service) {
	for _, client := range t.clients[host] {
		at := Place{Client: client, Name: host}
		if before := t.visible.row(at); before != now[client] {
			t.list.take(before, false, lists(before, client)...)
			if now[client] == nil {
				t.visible.drop(at)
			}
		}
	}
	for client, svc := range now {
		if at := (Place{Client: client, Name: host}); t.visible.row(at) != svc {
			t.visible.put(at, svc)
			t.list.put(svc, false, lists(svc, client)...)
		}
	}
	set(t.clients, host, slices.Collect(maps.Keys(now)))
}

// lists gives the lists of visible services that a service is in.
func lists(svc *model.Service, client string) []Place {
	out := []Place{{Client: client}}
	if svc.Resolution == model.ResolutionDynamicDNS {
		out = append(out, Place{Client: client, Name: dynamicHosts})
	}
	if svc.ByNode() {
		out = append(out, Place{Client: client, Name: endpointsByNode})
	}
	if svc.Located {
		out = append(out, Place{Client: client, Name: locatedNames})
	}
	return out
}

// seen decides which service each client sees under one hostname: its own namespace's, else the first of
// those that it may see. Kubernetes' come before others, those exported to it by name before those of everyone,
// then the oldest, by namespace and name at last.
func seen(candidates []*model.Service) map[string]*model.Service {
	if len(candidates) == 0 {
		return nil
	}
	first := map[string]sighting{} // by client, of what is for it alone or by name; "" for everyone
	for at, svc := range candidates {
		audience := model.ExportTo(svc.ExportTo, nil, svc.Namespace)
		clients := audience.Namespaces
		if audience.Everyone {
			clients = []string{"", svc.Namespace}
		}
		for _, client := range clients {
			next := sighting{svc, placeFor(svc, audience, client), at}
			if known, found := first[client]; !found || next.before(known) {
				first[client] = next
			}
		}
	}
	everyones, some := first[""]
	out := map[string]*model.Service{}
	for client, s := range first {
		if !some || client != "" && s.before(everyones) {
			out[client] = s.svc
		}
	}
	if some {
		delete(out, everyones.svc.Namespace)
		out[""] = hidingFrom(everyones.svc, candidates)
	}
	return out
}

// sighting is a service that a client may see.
type sighting struct {
	svc       *model.Service
	place, at int // at is where it stands among all of its hostname
}

// before tells whether it counts rather than another.
func (s sighting) before(o sighting) bool {
	return cmp.Or(cmp.Compare(s.place, o.place), cmp.Compare(s.at, o.at)) < 0
}

// visibleTo gives those of the services of one hostname that a client may see, the one that counts first.
func visibleTo(candidates []*model.Service, client string) []*model.Service {
	var out []*model.Service
	places := map[*model.Service]int{}
	for _, svc := range candidates {
		if audience := model.ExportTo(svc.ExportTo, nil, svc.Namespace); audience.Has(client) {
			out, places[svc] = append(out, svc), placeFor(svc, audience, client)
		}
	}
	slices.SortStableFunc(out, func(a, b *model.Service) int { return cmp.Compare(places[a], places[b]) })
	return out
}

// placeFor tells where a service stands for a client that sees it, before age decides among those of its hostname.
func placeFor(svc *model.Service, audience model.Audience, client string) int {
	switch {
	case svc.Namespace == client:
		return 0
	case svc.Key.Kind == model.KindService:
		return 1
	}
	return 2 + audience.Rank(svc.Namespace, client)
}

// foundServices are the tables as a snapshot has them.
type foundServices struct {
	inNamespace, list found[*model.Service]
	merged            rows[[]*model.Service]
	visible           rows[*model.Service]
}

func (t *services) freeze() foundServices {
	return foundServices{t.inNamespace.freeze(), t.list.freeze(), t.merged.freeze(), t.visible.freeze()}
}
