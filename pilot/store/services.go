package store

import (
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
	// list is all of visible, for everyone or for a client, sorted by hostname.
	list *index[*model.Service]
	// dynamic are those of the list whose hosts proxies resolve as they are asked for.
	dynamic *index[*model.Service]
	// byNode are those of the list whose endpoints depend on the client's node.
	byNode *index[*model.Service]
}

func newServices(own *owned) *services {
	return &services{
		byKey:       map[model.Key][]*model.Service{},
		byHost:      newIndex("services of a host", model.CompareServices, indexOptions{}),
		inNamespace: newIndex("services of a namespace", compareHostnames, indexOptions{}),
		visible:     newTable[*model.Service]("services", own),
		list:        newIndex("visible services", compareHostnames, indexOptions{own: own}),
		dynamic:     newIndex("services of dynamic hosts", compareHostnames, indexOptions{own: own}),
		byNode:      newIndex("services by node", compareHostnames, indexOptions{own: own}),
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
		t.byHost.move(svc, []key{{name: svc.Hostname}}, nil, nil, false)
		t.inNamespace.move(svc, []key{{namespace: svc.Namespace}}, nil, nil, false)
	}
	for _, svc := range next {
		t.byHost.move(nil, nil, svc, []key{{name: svc.Hostname}}, false)
		t.inNamespace.move(nil, nil, svc, []key{{namespace: svc.Namespace}}, false)
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
		before[k.name] = seen(t.byHost.lists.row(k))
	}
	for _, k := range t.byHost.flush() {
		t.show(k.name, before[k.name], seen(t.byHost.lists.row(k)))
	}
	t.inNamespace.flush()
	t.list.flush()
	t.dynamic.flush()
	t.byNode.flush()
}

// show puts what is visible under a hostname in the place of what was.
func (t *services) show(host string, before, after map[string]*model.Service) {
	for client, svc := range before {
		if after[client] == svc {
			continue
		}
		for _, list := range t.lists(svc) {
			list.move(svc, []key{{client: client}}, nil, nil, false)
		}
		if after[client] == nil {
			t.visible.drop(key{client: client, name: host})
		}
	}
	for client, svc := range after {
		if before[client] != svc {
			t.visible.put(key{client: client, name: host}, svc)
			for _, list := range t.lists(svc) {
				list.move(nil, nil, svc, []key{{client: client}}, false)
			}
		}
	}
}

// lists gives the lists of visible services that a service is in.
func (t *services) lists(svc *model.Service) []*index[*model.Service] {
	out := []*index[*model.Service]{t.list}
	if svc.Resolution == model.ResolutionDynamicDNS {
		out = append(out, t.dynamic)
	}
	if svc.ByNode() {
		out = append(out, t.byNode)
	}
	return out
}

// seen decides which service each client sees under one hostname: its own namespace's, else the first of
// those that it may see. Kubernetes' come before others, then the oldest, by namespace and name at last.
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

func seenFrom(candidates []*model.Service, namespace string) *model.Service {
	var first *model.Service
	for _, svc := range candidates {
		if !model.ExportTo(svc.ExportTo, nil, svc.Namespace).Has(namespace) {
			continue
		}
		if svc.Namespace == namespace {
			return svc
		}
		if first == nil {
			first = svc
		}
	}
	return first
}

func (t *services) drain(out []Row) []Row {
	out = t.byHost.drain(out)
	out = t.inNamespace.drain(out)
	out = t.visible.drain(out)
	out = t.dynamic.drain(out)
	out = t.byNode.drain(out)
	return t.list.drain(out)
}

// foundServices are the tables as a snapshot has them.
type foundServices struct {
	byHost, inNamespace, list, dynamic, byNode found[*model.Service]
	visible                                    rows[*model.Service]
}

func (t *services) freeze() foundServices {
	return foundServices{t.byHost.freeze(), t.inNamespace.freeze(), t.list.freeze(), t.dynamic.freeze(), t.byNode.freeze(), t.visible.freeze()}
}
