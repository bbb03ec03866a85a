package random

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// client is an Envoy of the random mesh, with what is checked of every response.
type client struct {
	*envoy
	w     *world
	node  *corev3.Node
	told  *push.Node
	link  *link
	stall bool
	// since is the earliest state of the mesh that what the client holds can be of, by type and name.
	since map[resourceID]int
	tape  []step // what happened, for a failure's report and to be replayed
}

type resourceID struct {
	typ  push.Type
	name string
}

func (w *world) newClient(i int) *client {
	c := &client{w: w, since: map[resourceID]int{}}
	ns := w.edit.namespace()
	id := fmt.Sprintf("sidecar~10.0.%d.%d~p%d.%s~%s.svc.cluster.local", map[string]int{"a": 1, "b": 2}[ns], i+1, i, ns, ns)
	meta := map[string]any{"LABELS": map[string]any{"app": "s0", "version": "v1"}, "NAMESPACE": ns, "CLUSTER_ID": "Kubernetes"}
	if w.rng.IntN(4) == 0 {
		id = fmt.Sprintf("router~10.0.3.%d~gw%d.istio-system~istio-system.svc.cluster.local", i+1, i)
		meta = map[string]any{"LABELS": map[string]any{"istio": "ingressgateway"}, "NAMESPACE": "istio-system"}
	}
	capture := w.rng.IntN(3) == 0
	if capture {
		meta["DNS_CAPTURE"] = "true"
	}
	metadata, err := structpb.NewStruct(meta)
	if err != nil {
		w.t.Fatal(err)
	}
	c.node = &corev3.Node{Id: id, Metadata: metadata}
	if c.told, err = push.ParseNode(c.node); err != nil {
		w.t.Fatal(err)
	}
	c.envoy = newEnvoy(w.rng.IntN(4) != 0, w.drainTime, time.Now)
	if capture {
		c.subscribe(push.NameTables, true).forgets = true
	}
	c.refuses = func(t push.Type, r *resource) string { return w.refuses(c, t, r.name, r.hash) }
	c.out = c.send
	return c
}

// refuses says by a seed's dice which resources no Envoy takes, and which one of them cannot.
func (w *world) refuses(c *client, t push.Type, name, hash string) string {
	if w.badness == 0 || t == push.NameTables {
		return ""
	}
	h := fnv.New32a()
	fmt.Fprint(h, w.seed, t, name, hash)
	if h.Sum32()%w.badness == 0 {
		return "no Envoy takes this"
	}
	if t == push.Listeners {
		h.Reset()
		fmt.Fprint(h, w.seed, c.node.GetId(), name)
		if h.Sum32()%w.badness == 0 {
			return "cannot bind '0.0.0.0:80': Address already in use"
		}
	}
	return ""
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
	c.link = connect(c.w.server, c.isDelta, func(delta bool, wire []byte) (*response, error) {
		r, err := c.w.read.decode(delta, wire)
		if r != nil {
			r.epoch = c.w.latest()
		}
		return r, err
	})
	c.connected()
}

// drop breaks the stream.
func (c *client) drop() {
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
		if r.typ == push.Clusters {
			c.link.reads++
		}
		gone := c.check(r)
		c.receive(r)
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

// check asserts that nothing in a response goes back, or takes away what exists; it
// gives what goes.
func (c *client) check(r *response) []string {
	for _, res := range r.resources {
		id := resourceID{r.typ, res.name}
		if c.w.refused[id] {
			continue
		}
		ok := c.findEpoch(id, r.epoch, func(want *content) bool {
			if want != nil && c.w.refuses(c, r.typ, res.name, want.hash) != "" {
				c.w.refused[id] = true // its class goes back to what was accepted
			}
			return want != nil && want.hash == res.hash || want == nil && !listable(r.typ)
		})
		if !ok && !c.w.refused[id] && !c.w.keeps(c, r, res.name) {
			c.fail("%s %s is of no state since the one that it has (%d to %d)", r.typ, res.name, c.since[id], r.epoch)
		}
	}
	gone := r.removed
	switch r.typ {
	case push.Clusters:
		gone = removals(c.envoy, r, c.active, c.warming)
	case push.Listeners:
		gone = removals(c.envoy, r, c.listeners, c.waiting)
	}
	for _, n := range gone {
		if !c.findEpoch(resourceID{r.typ, n}, r.epoch, func(want *content) bool { return want == nil }) && !c.w.refused[resourceID{r.typ, n}] {
			c.fail("%s %s is removed, though it exists", r.typ, n)
		}
	}
	return gone
}

func listable(t push.Type) bool {
	return t == push.Clusters || t == push.Listeners || t == push.NameTables
}

// keeps tells whether a full state goes on holding a cluster that is to be removed later.
func (w *world) keeps(c *client, r *response, name string) bool {
	if c.isDelta || r.typ != push.Clusters {
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
	case push.Clusters:
		if !c.isDelta && c.link.reads == 1 {
			return // a new server cannot know what a client of the full state has beyond its own
		}
		for _, n := range slices.Sorted(maps.Keys(c.listeners)) {
			c.checkGone(c.listeners[n], now[push.Listeners][n], push.Listeners, gone)
			for _, rds := range c.listeners[n].rds {
				c.checkGone(c.routes[rds], now[push.Routes][rds], push.Routes, gone)
			}
		}
	case push.Listeners, push.Routes:
		for _, res := range r.resources {
			id := resourceID{r.typ, res.name}
			exists := c.viewAt(c.w.epoch(c.since[id]))[push.Clusters]
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
	case c.active[name] != nil || c.refusedOf[push.Clusters] || c.refusedOf[push.Endpoints] || c.w.refused[resourceID{push.Clusters, name}]:
	case c.mayDangle(resourceID{r.typ, from.name}, from.hash, name, r.epoch):
	case w == nil:
		c.fail("%s %s points at cluster %s, which is not there", r.typ, from.name, name)
	case r.at.Sub(w.sent) < warmingTimeout && !c.w.refused[resourceID{push.Endpoints, w.eds}]:
		c.fail("%s %s points at cluster %s, which is warming", r.typ, from.name, name)
	}
}

// mayDangle tells whether a resource may be of a state of the mesh that has no such cluster.
func (c *client) mayDangle(id resourceID, hash, cluster string, sent int) bool {
	for i := sent; i >= 0; i-- {
		v := c.viewAt(c.w.epoch(i))
		if r := v[id.typ][id.name]; r != nil && r.hash == hash && v[push.Clusters][cluster] == nil {
			return true
		}
	}
	return false
}

func (c *client) checkGone(from *resource, now *content, t push.Type, gone []string) {
	if from == nil || c.refusedOf != [push.NumTypes]bool{} || c.w.refused[resourceID{t, from.name}] {
		return
	}
	for _, name := range gone {
		if slices.Contains(from.clusters, name) && (now == nil || !slices.Contains(now.clusters, name)) {
			c.fail("cluster %s is removed and %s %s points at it", name, t, from.name)
		}
	}
}
