package store

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// services are the tables of services. Which one a namespace sees under a hostname is decided in seen.
type services struct {
	byKey map[model.Key][]*model.Service // of each object

	byHost      *index[*model.Service] // all of a hostname, whoever sees them, model.CompareServices first
	inNamespace *index[*model.Service] // by the namespace they live in
	// visible is what everyone sees under a hostname, and, by client, what a namespace sees instead.
	visible *table[*model.Service]
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
		byHost:      newIndex("services of a host", changed, model.CompareServices, indexOptions{}),
		inNamespace: newIndex("services of a namespace", changed, compareHostnames, indexOptions{}),
		visible:     newTable[*model.Service]("services", changed, own),
		list:        newIndex("visible services", changed, compareHostnames, indexOptions{own: own}),
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
		t.byHost.move(svc, []Place{{Name: svc.Hostname}}, nil, nil, false)
		t.inNamespace.move(svc, []Place{{Namespace: svc.Namespace}}, nil, nil, false)
	}
	for _, svc := range next {
		t.byHost.move(nil, nil, svc, []Place{{Name: svc.Hostname}}, false)
		t.inNamespace.move(nil, nil, svc, []Place{{Namespace: svc.Namespace}}, false)
	}
	if len(next) == 0 {
		delete(t.byKey, k)
	} else {
		t.byKey[k] = next
	}
}

// flush brings the tables up to what was put.
func (t *services) flush() {
	before := map[string]map[string]*model.Service{} // what was visible, by host and client
	for k := range t.byHost.moved {
		before[k.Name] = seen(t.byHost.lists.row(k))
	}
	for _, k := range t.byHost.flush() {
		t.show(k.Name, before[k.Name], seen(t.byHost.lists.row(k)))
	}
	t.inNamespace.flush()
	t.list.flush()
}

// show puts what is visible under a hostname in the place of what was.
func (t *services) show(host string, before, after map[string]*model.Service) {
	for client, svc := range before {
		if after[client] == svc {
			continue
		}
		t.list.move(svc, lists(svc, client), nil, nil, false)
		if after[client] == nil {
			t.visible.drop(Place{Client: client, Name: host})
		}
	}
	for client, svc := range after {
		if before[client] != svc {
			t.visible.put(Place{Client: client, Name: host}, svc)
			t.list.move(nil, nil, svc, lists(svc, client), false)
		}
	}
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
// The same Service in several clusters is one, and so are ServiceEntries of one namespace that agree.
func seen(candidates []*model.Service) map[string]*model.Service {
	if len(candidates) == 0 {
		return nil
	}
	candidates = merged(candidates)
	out := map[string]*model.Service{}
	clients := map[string]struct{}{}
	for _, svc := range candidates {
		audience := model.ExportTo(svc.ExportTo, nil, svc.Namespace)
		if audience.Everyone && out[""] == nil {
			out[""] = svc
		}
		clients[svc.Namespace] = struct{}{}
		for _, ns := range audience.Namespaces {
			clients[ns] = struct{}{}
		}
	}
	var everyones model.Key
	if out[""] != nil {
		everyones, out[""] = out[""].Key, hidingFrom(out[""], candidates)
	} else {
		delete(out, "")
	}
	for ns := range clients {
		if svc := seenFrom(candidates, ns); svc != nil && svc.Key != everyones {
			out[ns] = svc
		}
	}
	return out
}

func seenFrom(candidates []*model.Service, client string) *model.Service {
	var first *model.Service
	at := 0
	for _, svc := range candidates {
		if place, sees := placeFor(svc, client); sees && (first == nil || place < at) {
			first, at = svc, place
		}
	}
	return first
}

// visibleTo gives the services of one hostname that a client may see, the one that counts first. There is one a namespace.
func visibleTo(candidates []*model.Service, client string) []*model.Service {
	var out []*model.Service
	places := map[*model.Service]int{}
	if len(candidates) == 0 {
		return nil
	}
	for _, svc := range merged(candidates) {
		if place, sees := placeFor(svc, client); sees {
			out, places[svc] = append(out, svc), place
		}
	}
	slices.SortStableFunc(out, func(a, b *model.Service) int { return cmp.Compare(places[a], places[b]) })
	return out
}

// placeFor tells whether a client may see a service, and where it stands before age decides among those of its hostname.
func placeFor(svc *model.Service, client string) (place int, sees bool) {
	audience := model.ExportTo(svc.ExportTo, nil, svc.Namespace)
	switch {
	case !audience.Has(client):
		return 0, false
	case svc.Namespace == client:
		return 0, true
	case svc.Key.Kind == model.KindService:
		return 1, true
	}
	return 2 + audience.Rank(svc.Namespace, client), true
}

// foundServices are the tables as a snapshot has them.
type foundServices struct {
	byHost, inNamespace, list found[*model.Service]
	visible                   rows[*model.Service]
}

func (t *services) freeze() foundServices {
	return foundServices{t.byHost.freeze(), t.inNamespace.freeze(), t.list.freeze(), t.visible.freeze()}
}
