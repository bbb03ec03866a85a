package random

import (
	"maps"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// compareClient asserts that a client at rest holds what it should. What an Envoy refused may be of
// any version, and what hangs on it may be missing; all others must be as if it had not happened.
func (w *world) compareClient(c *client, want *view) {
	if c.refusedOf[push.Endpoints] || c.refusedOf[push.Clusters] {
		return
	}
	bad := func(t push.Type, name string) bool {
		id := resourceID{t, name}
		if r := want[t][name]; r != nil && w.refuses(c, t, name, r.hash) != "" {
			w.refused[id] = true
			return true
		}
		return false
	}
	if len(c.warming) > 0 {
		for _, n := range slices.Sorted(maps.Keys(c.warming)) {
			if !bad(push.Endpoints, c.warming[n].eds) {
				c.fail("cluster %s is stuck in warming", n)
			}
		}
	}
	if !c.initialized {
		for _, n := range slices.Sorted(maps.Keys(c.active)) {
			if a := c.active[n]; a.eds != "" && a.hosts == "" && !bad(push.Endpoints, a.eds) {
				c.fail("cluster %s never got endpoints", n)
			}
		}
		if len(c.active) == 0 {
			c.fail("no clusters came")
		}
		return // as an Envoy whose first endpoints are refused
	}
	for _, n := range slices.Sorted(maps.Keys(c.waiting)) {
		if !slices.ContainsFunc(c.waiting[n].rds, func(r string) bool { return bad(push.Routes, r) }) {
			c.fail("listener %s is stuck in warming", n)
		}
	}
	stuck := len(c.warming) > 0
	held := map[string]*content{}
	for n, a := range c.active {
		held[n] = a.content
	}
	for n, wait := range c.warming {
		held[n] = wait.content
	}
	w.same(c, push.Clusters, want[push.Clusters], held, bad, stuck)
	w.compareEndpoints(c, want, bad)
	held = map[string]*content{}
	for n, l := range c.listeners {
		held[n] = l.content
	}
	for n, l := range c.waiting {
		held[n] = l.content
	}
	w.same(c, push.Listeners, want[push.Listeners], held, bad, false)
	for _, l := range c.listeners {
		for _, n := range l.rds {
			r := want[push.Routes][n]
			if r != nil && !bad(push.Routes, n) && !bad(push.Listeners, l.name) && (c.routes[n] == nil || c.routes[n].hash != r.hash) {
				c.fail("routes %s are not the latest", n)
			}
		}
	}
	for n, r := range want[push.NameTables] {
		if c.sub(push.NameTables) != nil && c.table != r.hash {
			c.fail("%s is not the latest", n)
		}
	}
}

// compareEndpoints asserts that the clusters' hosts are the latest.
func (w *world) compareEndpoints(c *client, want *view, bad func(push.Type, string) bool) {
	for _, n := range slices.Sorted(maps.Keys(c.active)) {
		a := c.active[n]
		r := want[push.Endpoints][a.eds]
		if a.eds == "" || r == nil || bad(push.Endpoints, a.eds) || bad(push.Clusters, n) {
			continue
		}
		if a.hosts != r.hash {
			c.fail("the endpoints of %s are not the latest (%s, want %s)", n, a.hosts, r.hash)
		}
	}
}

// same asserts that what is held is what is wanted.
func (w *world) same(c *client, t push.Type, want, held map[string]*content, bad func(push.Type, string) bool, more bool) {
	if c.refusedOf[t] {
		return
	}
	for _, n := range slices.Sorted(maps.Keys(want)) {
		if bad(t, n) {
			continue
		}
		if held[n] == nil {
			c.fail("%s %s is missing", t, n)
		}
		if held[n].hash != want[n].hash {
			c.fail("%s %s is not the latest", t, n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(held)) {
		if want[n] == nil && !more {
			c.fail("%s %s is still there", t, n)
		}
	}
}
