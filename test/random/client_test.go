package random

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// client is an Envoy of the random mesh, with what is checked of every response.
type client struct {
	*envoy
	w    *world
	node *corev3.Node
	told *push.Node
	link *link
	hung []*link // that are broken, which the server does not see
	// streams is how many it has opened.
	streams int
	stall   bool
	// since is the earliest state of the mesh that what the client holds can be of, by type and name.
	since map[resourceID]int
	// took is by whom it was given what it holds, and unclaimed which server gave it what it runs
	// without saying so, since it refused another part of the same response.
	took      map[resourceID]tenure
	unclaimed map[resourceID]int
	tape      []step // what happened, for a failure's report and to be replayed
}

// tenure is a time in which a server remembers what a client accepted.
type tenure struct {
	*link
	epoch int // in which the resource was sent
}

type resourceID struct {
	typ  xdsres.Type
	name string
}

func (w *world) newClient(i int) *client {
	c := &client{w: w, since: map[resourceID]int{}, took: map[resourceID]tenure{}, unclaimed: map[resourceID]int{}}
	c.node = w.node(i)
	var err error
	if c.told, err = push.ParseNode(c.node); err != nil {
		w.t.Fatal(err)
	}
	c.envoy = newEnvoy(w.rng.IntN(4) != 0, w.drainTime, time.Now)
	if c.told.DNSCapture {
		c.subscribe(xdsres.NameTables, true).forgets = true
	}
	c.refuses = func(t xdsres.Type, r *resource) string { return w.refuses(c, t, r.name, r.content) }
	c.out = c.send
	return c
}

// refuses says by a seed's dice which resources no Envoy takes, and which one of them cannot.
func (w *world) refuses(c *client, t xdsres.Type, name string, r *content) string {
	switch {
	case w.broken(t, name, r):
		return "no Envoy takes this"
	case t == xdsres.Listeners && w.dice(c.node.GetId(), name):
		return "cannot bind '0.0.0.0:80': Address already in use"
	}
	return ""
}

// broken tells whether no Envoy takes a resource: for one of its parts, or for what these have in common.
func (w *world) broken(t xdsres.Type, name string, r *content) bool {
	if len(r.parts) == 0 {
		return t != xdsres.NameTables && w.dice(t, name, r.hash)
	}
	return w.beyondRepair(t, name) || slices.ContainsFunc(r.parts, w.brokenPart)
}

// beyondRepair tells whether no part alone is what is wrong with a resource.
func (w *world) beyondRepair(t xdsres.Type, name string) bool { return w.dice(t, name) }

func (w *world) brokenPart(p part) bool { return p.hash != "" && w.dice(p.hash) }

func (w *world) dice(of ...any) bool {
	if w.badness == 0 {
		return false
	}
	h := fnv.New32a()
	fmt.Fprint(h, append([]any{w.seed}, of...)...)
	return h.Sum32()%w.badness == 0
}

func (c *client) fail(format string, args ...any) {
	c.w.t.Helper()
	c.w.t.Fatalf("seed %d, step %d, %s (delta %v): %s\n%s", c.w.seed, c.w.step, c.node.GetId(), c.isDelta,
		fmt.Sprintf(format, args...), printed(c.tape[max(0, len(c.tape)-40):]))
}

func (c *client) send(r *request) {
	c.note(step{said: r})
	if c.isDelta {
		c.link.up <- r.delta(c.node)
	} else {
		c.link.up <- r.sotw(c.node)
	}
	synctest.Wait() // so that a seed always gives the same exchange
}

// open starts a stream.
func (c *client) open() {
	c.note(step{opened: true})
	c.streams++
	c.link = connect(c.w.server, c.isDelta, func(delta bool, wire []byte) (*response, error) {
		r, err := c.w.read.decode(delta, wire)
		if r != nil {
			r.epoch = c.w.latest()
		}
		return r, err
	})
	c.connected()
}

// lose breaks the stream, which the server may take long to see.
func (c *client) lose() {
	if c.link == nil || c.w.rng.IntN(2) == 0 {
		c.drop()
		return
	}
	c.note(step{closed: true})
	c.hung = append(c.hung, c.link)
	c.link = nil
	c.disconnected()
}

// drop breaks the stream, and all that hang.
func (c *client) drop() {
	for _, l := range c.hung {
		l.cancel()
	}
	c.hung = nil
	synctest.Wait()
	if c.link == nil {
		return
	}
	c.note(step{closed: true})
	c.link.cancel()
	c.link = nil
	c.disconnected()
	synctest.Wait()
}

// turn lets the client read one response; it tells whether there was one.
func (c *client) turn() bool {
	if c.link == nil {
		return false
	}
	select {
	case r := <-c.link.down:
		r.refused = c.judge(r)
		c.note(step{got: r})
		if r.typ == xdsres.Clusters {
			c.link.reads++
		}
		gone := c.check(r)
		c.receive(r)
		c.remember(r, gone)
		c.checkTargets(r, gone)
		return true
	default:
	}
	if c.link.ctx.Err() != nil {
		c.drop()
	}
	return false
}

func (c *client) viewAt(e *epoch) *view {
	v, err := e.view(c.told)
	if err != nil {
		c.fail("%v", err)
	}
	return v
}

// findEpoch looks for the latest state between what the client holds and what was current when the
// response was sent in which a resource was as want says.
func (c *client) findEpoch(id resourceID, sent int, want func(*content) bool) bool {
	for i := sent; i >= c.since[id]; i-- {
		if want(c.viewAt(c.w.epoch(i))[id.typ][id.name]) {
			c.since[id] = i
			return true
		}
	}
	return false
}

// check asserts that nothing in a response goes back, but to what was accepted before a refusal, or
// takes away what exists; it gives what goes.
func (c *client) check(r *response) []string {
	for _, res := range r.resources {
		id := resourceID{r.typ, res.name}
		ok := c.findEpoch(id, r.epoch, func(want *content) bool {
			if want != nil && c.w.refuses(c, r.typ, res.name, want) != "" {
				c.w.refused[id] = true
			}
			return want != nil && (want.hash == res.hash || c.w.refused[id] && res.triedOf(want)) || want == nil && !listable(r.typ)
		})
		switch {
		case ok || c.w.keeps(c, r, res.name):
		case c.w.refused[id] && (c.w.everWas(id, res.hash) || res.empty && !c.uses(id)):
		default:
			c.fail("%s %s is of no state since the one that it has (%d to %d)", r.typ, res.name, c.since[id], r.epoch)
		}
	}
	gone := r.removed
	switch r.typ {
	case xdsres.Clusters:
		gone = removals(c.envoy, r, c.active, c.warming)
	case xdsres.Listeners:
		gone = removals(c.envoy, r, c.listeners, c.waiting)
	case xdsres.Endpoints, xdsres.Routes:
		return nil // such a removal takes nothing away
	}
	for _, n := range gone {
		if !c.uses(resourceID{r.typ, n}) {
			continue
		}
		if !c.findEpoch(resourceID{r.typ, n}, r.epoch, func(want *content) bool { return want == nil }) {
			c.fail("%s %s is removed, though it exists", r.typ, n)
		}
	}
	return gone
}

// uses tells whether the client has a version of a resource.
func (c *client) uses(id resourceID) bool {
	switch id.typ {
	case xdsres.Clusters:
		return c.active[id.name] != nil || c.warming[id.name] != nil
	case xdsres.Listeners:
		return c.listeners[id.name] != nil || c.waiting[id.name] != nil
	case xdsres.Routes:
		return c.routes[id.name] != nil
	}
	for _, a := range c.active {
		if a.eds == id.name && a.hosts != "" {
			return true
		}
	}
	return false
}

// everWas tells whether some client should once have had a version of a resource.
func (w *world) everWas(id resourceID, hash string) bool {
	for i := w.latest(); i >= 0; i-- {
		for _, c := range w.clients {
			if v := c.viewAt(w.epoch(i))[id.typ][id.name]; v != nil && v.hash == hash {
				return true
			}
		}
	}
	return false
}

// remembered tells whether the server still knows which version of a resource the client took.
func (c *client) remembered(id resourceID) bool {
	then := c.took[id]
	if then.link == nil || then.link != c.link {
		return false
	}
	for i := then.epoch; i <= c.w.latest(); i++ {
		if c.viewAt(c.w.epoch(i))[id.typ][id.name] == nil {
			return false // it went
		}
	}
	return true
}

// remember notes what the client has of a response that it applied.
func (c *client) remember(r *response, gone []string) {
	now := tenure{c.link, r.epoch}
	for _, res := range r.resources {
		id := resourceID{r.typ, res.name}
		_, asked := c.sub(r.typ).asks(res.name)
		switch {
		case !asked: // and not looked at
		case len(r.refused) == 0:
			c.took[id] = now
			delete(c.unclaimed, id)
		case r.refused[res.name] == "":
			c.unclaimed[id] = c.w.boots
		}
	}
	for _, a := range c.active {
		id := resourceID{xdsres.Endpoints, a.eds}
		if _, known := c.unclaimed[id]; len(r.refused) > 0 && a.unhosted && !known {
			c.unclaimed[id] = c.w.boots // it goes on claiming those that the former cluster had
		}
	}
	for _, n := range gone {
		delete(c.took, resourceID{r.typ, n})
		delete(c.unclaimed, resourceID{r.typ, n})
	}
}

func listable(t xdsres.Type) bool {
	return t == xdsres.Clusters || t == xdsres.Listeners || t == xdsres.NameTables
}

// keeps tells whether a full state goes on holding a cluster that is to be removed later.
func (w *world) keeps(c *client, r *response, name string) bool {
	if c.isDelta || r.typ != xdsres.Clusters {
		return false
	}
	_, exists := c.viewAt(w.epoch(r.epoch))[r.typ][name]
	return !exists
}

// checkTargets asserts that a listener or a route that came points at no cluster that is not there
// yet, except for one that the mesh did not have or that is too slow to warm; and that nothing in
// service points at a cluster that went, except by what the mesh says.
func (c *client) checkTargets(r *response, gone []string) {
	now := c.viewAt(c.w.epoch(r.epoch))
	switch r.typ {
	case xdsres.Clusters:
		if !c.isDelta && c.link.reads == 1 {
			return // a new server cannot know what a client of the full state has beyond its own
		}
		for _, n := range slices.Sorted(maps.Keys(c.listeners)) {
			c.checkGone(c.listeners[n], now[xdsres.Listeners][n], xdsres.Listeners, gone)
			for _, rds := range c.listeners[n].rds {
				if c.hides(c.w, xdsres.Listeners, n) {
					continue // nor can a server know that its routes are in use
				}
				c.checkGone(c.routes[rds], now[xdsres.Routes][rds], xdsres.Routes, gone)
			}
		}
	case xdsres.Listeners, xdsres.Routes:
		for _, res := range r.resources {
			id := resourceID{r.typ, res.name}
			exists := c.viewAt(c.w.epoch(c.since[id]))[xdsres.Clusters]
			for _, name := range res.clusters {
				if exists[name] != nil && !c.w.refused[id] {
					c.checkThere(res, name, r)
				}
			}
		}
	}
}

func (c *client) checkThere(from *resource, name string, r *response) {
	w := c.warming[name]
	switch {
	case !c.isDelta && c.link.reads == 0: // it claimed nothing by which a server could know that it waits
	case c.active[name] != nil || c.w.refused[resourceID{xdsres.Clusters, name}]:
	case c.mayDangle(resourceID{r.typ, from.name}, from.hash, name, r.epoch):
	case w == nil:
		c.fail("%s %s points at cluster %s, which is not there", r.typ, from.name, name)
	case r.at.Sub(w.sent) < warmingTimeout && !c.w.refused[resourceID{xdsres.Endpoints, w.eds}]:
		c.fail("%s %s points at cluster %s, which is warming", r.typ, from.name, name)
	}
}

// mayDangle tells whether a resource may be of a state of the mesh that has no such cluster.
func (c *client) mayDangle(id resourceID, hash, cluster string, sent int) bool {
	for i := sent; i >= 0; i-- {
		v := c.viewAt(c.w.epoch(i))
		if r := v[id.typ][id.name]; r != nil && r.hash == hash && v[xdsres.Clusters][cluster] == nil {
			return true
		}
	}
	return false
}

func (c *client) checkGone(from *resource, now *content, t xdsres.Type, gone []string) {
	if from == nil || c.w.refused[resourceID{t, from.name}] || c.hides(c.w, t, from.name) {
		return
	}
	for _, name := range gone {
		if slices.Contains(from.clusters, name) && (now == nil || !slices.Contains(now.clusters, name)) {
			c.fail("cluster %s is removed and %s %s points at it", name, t, from.name)
		}
	}
}
