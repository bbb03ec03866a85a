package random

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// compareClient asserts that a client at rest holds what it should. In place of what it refuses it
// holds what it had before; all else is as if there had been no refusal: the goals R1 and R5, see doc.go.
func (w *world) compareClient(c *client, want *view) {
	for _, n := range slices.Sorted(maps.Keys(c.warming)) {
		c.fail("cluster %s is stuck in warming", n)
	}
	for _, n := range slices.Sorted(maps.Keys(c.waiting)) {
		c.fail("listener %s is stuck in warming", n)
	}
	if len(c.lost) > 0 && c.streams > 1 {
		return // it was in its start when its stream broke, and no server can know for what it waits
	}
	if !c.initialized {
		c.fail("never gets ready: clusters %v", slices.Sorted(maps.Keys(c.active)))
	}
	w.same(c, xdsres.Clusters, want, contentsOf(c.active, func(a *cluster) *content { return a.content }))
	w.same(c, xdsres.Listeners, want, contentsOf(c.listeners, func(l *resource) *content { return l.content }))
	w.compareEndpoints(c, want)
	w.compareRoutes(c, want)
	for n, r := range want[xdsres.NameTables] {
		if c.sub(xdsres.NameTables) != nil && c.table != r.hash {
			c.fail("%s is not the latest", n)
		}
	}
}

func contentsOf[T any](held map[string]T, of func(T) *content) map[string]*content {
	out := make(map[string]*content, len(held))
	for n, h := range held {
		out[n] = of(h)
	}
	return out
}

// bad tells whether a client refuses what it should have.
func (w *world) bad(c *client, t xdsres.Type, want *view, name string) bool {
	r := want[t][name]
	return r != nil && w.refuses(c, t, name, r) != ""
}

// same asserts that what is held is what is wanted, but for what is refused, and for what a server
// before the present one knew that the client has without saying so.
func (w *world) same(c *client, t xdsres.Type, want *view, held map[string]*content) {
	for _, n := range slices.Sorted(maps.Keys(want[t])) {
		switch {
		case c.hides(w, t, n):
		case w.bad(c, t, want, n):
			w.compareParts(c, t, n, held[n], want[t][n])
		case held[n] == nil:
			c.fail("%s %s is missing", t, n)
		case held[n].hash != want[t][n].hash:
			c.fail("%s %s is not the latest", t, n)
		}
	}
	for _, n := range slices.Sorted(maps.Keys(held)) {
		if want[t][n] == nil && !c.hides(w, t, n) {
			c.fail("%s %s is still there", t, n)
		}
	}
}

// compareParts asserts that of a resource that is refused for some of its parts all others are held.
func (w *world) compareParts(c *client, t xdsres.Type, name string, held, want *content) {
	repairable := slices.ContainsFunc(want.parts, w.brokenPart) && !w.beyondRepair(t, name)
	if repairable && !(t == xdsres.Listeners && w.dice(c.node.GetId(), name)) && !held.without(want, w.brokenPart) {
		c.fail("of %s %s more is missing than what is refused: %+v, want %+v", t, name, held, want.parts)
	}
}

// hides tells whether the client runs a version that it claims on no stream, and that the present
// server did not give it: such a one nobody can know of.
func (c *client) hides(w *world, t xdsres.Type, name string) bool {
	boot, ok := c.unclaimed[resourceID{t, name}]
	return ok && boot != w.boots
}

// compareEndpoints asserts that the clusters' hosts are the latest, and that a refusal takes none
// away that came over the same stream.
func (w *world) compareEndpoints(c *client, want *view) {
	for _, n := range slices.Sorted(maps.Keys(c.active)) {
		a := c.active[n]
		r := want[xdsres.Endpoints][a.eds]
		switch {
		case a.eds == "" || r == nil || c.hides(w, xdsres.Endpoints, a.eds):
		case w.bad(c, xdsres.Endpoints, want, a.eds):
			if a.hosts == "" && c.remembered(resourceID{xdsres.Endpoints, a.eds}) {
				c.fail("%s has lost its hosts by a refusal", n)
			}
		case a.hosts != r.hash:
			c.fail("the endpoints of %s are not the latest (%q, want %q)", n, a.hosts, r.hash)
		}
	}
}

func (w *world) compareRoutes(c *client, want *view) {
	for _, l := range c.listeners {
		for _, n := range l.rds {
			r := want[xdsres.Routes][n]
			switch {
			case r == nil || c.hides(w, xdsres.Routes, n):
				continue
			case w.bad(c, xdsres.Routes, want, n):
				w.compareParts(c, xdsres.Routes, n, contentsOf(c.routes, func(r *resource) *content { return r.content })[n], r)
				continue
			}
			if c.routes[n] == nil || c.routes[n].hash != r.hash {
				c.fail("routes %s are not the latest", n)
			}
		}
	}
}

// compareProblems asserts that each refused resource is reported, and no other.
func (w *world) compareProblems(fresh *epoch) {
	type finding struct {
		by       *client // that met it, nil for none
		reported bool
	}
	expected := map[string]*finding{}
	for _, c := range w.clients {
		want := c.viewAt(fresh)
		for t := range want {
			for n, r := range want[t] {
				if !w.broken(xdsres.Type(t), n, r) {
					continue
				}
				text := fmt.Sprintf("%s %q", xdsres.Type(t), n)
				if expected[text] == nil {
					expected[text] = &finding{}
				}
				if _, asked := c.sub(xdsres.Type(t)).asks(n); asked {
					expected[text].by = c
				}
			}
		}
	}
	for _, p := range w.reported("push") {
		if p.Reason != model.ReasonRejected {
			continue
		}
		known := false
		for text, f := range expected {
			if strings.Contains(p.Message, text) {
				f.reported, known = true, true
			}
		}
		if !known {
			w.t.Fatalf("seed %d, step %d: a problem that is none: %v", w.seed, w.step, p)
		}
	}
	for text, f := range expected {
		if !f.reported && f.by != nil {
			f.by.fail("nobody is told that a proxy refused %s", text)
		}
	}
}
