package random

import (
	"maps"
	"slices"
	"strings"
	"time"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// envoy is a proxy's configuration and how it changes by responses, without I/O.
type envoy struct {
	mux
	now func() time.Time
	// refuses tells what is wrong with a resource in this Envoy's eyes; "" for nothing.
	refuses func(xdsres.Type, *resource) string

	told        bool // of clusters
	initialized bool // the first clusters have their endpoints
	// lost are clusters that no longer wait for endpoints, because they have none any more, and that
	// Envoy's start goes on waiting for (as of 1.40).
	lost      map[string]struct{}
	active    map[string]*cluster
	warming   map[string]*cluster
	listeners map[string]*resource // in service
	waiting   map[string]*resource // listeners that wait for routes
	draining  []drain
	routes    map[string]*resource // nil for what did not come yet
	unrouted  map[string]struct{}  // routes that listeners go without, since what came was malformed
	table     string               // the name table's hash
	drainTime time.Duration        // how long a former listener keeps its routes
}

type cluster struct {
	*resource
	hosts    string    // the load assignment's hash; "" for none
	unhosted bool      // it goes without, since what came was malformed
	sent     time.Time // when it was first seen to be warming
}

// awaits tells whether it cannot be used for want of endpoints.
func (c *cluster) awaits() bool { return c.eds != "" && c.hosts == "" && !c.unhosted }

// drain is a listener that serves its last requests.
type drain struct {
	*resource
	until time.Time
}

func newEnvoy(delta bool, drainTime time.Duration, now func() time.Time) *envoy {
	e := &envoy{
		drainTime: drainTime, now: now, lost: map[string]struct{}{}, unrouted: map[string]struct{}{}, active: map[string]*cluster{}, warming: map[string]*cluster{},
		listeners: map[string]*resource{}, waiting: map[string]*resource{}, routes: map[string]*resource{},
		refuses: func(xdsres.Type, *resource) string { return "" },
	}
	e.isDelta = delta
	e.subscribe(xdsres.Clusters, true)
	return e
}

// judge tells what is wrong with a response, by name of the resource. What nobody in it asked for is
// not looked at.
func (e *envoy) judge(r *response) map[string]string {
	out := map[string]string{}
	s := e.sub(r.typ)
	for _, res := range r.resources {
		if _, asked := s.asks(res.name); !asked {
			continue
		}
		if why := e.refuses(r.typ, res); why != "" {
			out[res.name] = why
		}
	}
	return out
}

// receive applies a judged response and answers it.
func (e *envoy) receive(r *response) {
	if !e.isDelta { // its mux says nothing of a type while it takes a response of it
		e.pause(r.typ)
		defer e.resume(r.typ)
	}
	var detail string
	switch r.typ {
	case xdsres.Clusters:
		e.told = true
		e.pause(xdsres.Endpoints)
		detail = e.takeClusters(r)
		e.initialize()
		e.resume(xdsres.Endpoints)
	case xdsres.Endpoints:
		detail = e.takeEndpoints(r)
		e.initialize()
	case xdsres.Listeners:
		e.pause(xdsres.Routes)
		detail = e.takeListeners(r)
		e.resume(xdsres.Routes)
	case xdsres.Routes:
		detail = e.takeRoutes(r)
	case xdsres.NameTables:
		for _, res := range r.resources {
			e.table = res.hash
		}
	}
	e.answer(r, detail)
}

// initialize asks for listeners once the first clusters are there.
func (e *envoy) initialize() {
	if e.initialized || !e.told || len(e.lost) > 0 {
		return
	}
	for _, c := range e.active {
		if c.awaits() {
			return
		}
	}
	e.initialized = true
	e.subscribe(xdsres.Listeners, true)
	e.flush()
}

// removals are the names that a response takes away.
func removals[T any](e *envoy, r *response, held ...map[string]T) []string {
	if e.isDelta {
		return r.removed
	}
	var out []string
	for _, h := range held {
		for n := range h {
			if !slices.ContainsFunc(r.resources, func(res *resource) bool { return res.name == n }) {
				out = append(out, n)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (e *envoy) takeClusters(r *response) string {
	var wrong []string
	again := false
	for _, n := range removals(e, r, e.active, e.warming) {
		delete(e.active, n)
		e.unwarm(n)
	}
	for _, res := range r.resources {
		if why := r.refused[res.name]; why != "" {
			wrong = append(wrong, res.name+": "+why)
			continue
		}
		again = e.putCluster(res, r.at) || again
	}
	e.wantEndpoints(again)
	return named("cluster", wrong)
}

func (e *envoy) wantEndpoints(again bool) {
	names := map[string]struct{}{}
	for _, of := range []map[string]*cluster{e.active, e.warming} {
		for _, c := range of {
			if c.eds != "" {
				names[c.eds] = struct{}{}
			}
		}
	}
	e.want(xdsres.Endpoints, names, again)
}

// putCluster tells whether the cluster has to get its endpoints.
func (e *envoy) putCluster(res *resource, sent time.Time) bool {
	if w := e.warming[res.name]; w != nil {
		if w.hash == res.hash {
			return false
		}
	} else if a := e.active[res.name]; a != nil && a.hash == res.hash {
		return false
	}
	c := &cluster{resource: res, sent: sent}
	if a := e.active[res.name]; !e.initialized && a != nil && a.awaits() && res.eds == "" {
		e.lost[res.name] = struct{}{}
	}
	if res.eds == "" || !e.initialized {
		e.unwarm(res.name)
		e.active[res.name] = c
		if res.eds != "" {
			delete(e.lost, res.name)
		}
		return res.eds != ""
	}
	if len(e.warming) == 0 {
		e.pause(xdsres.Clusters)
	}
	if w := e.warming[res.name]; w != nil {
		c.sent = w.sent
	}
	e.warming[res.name] = c
	return true
}

// unwarm forgets a warming cluster; the acknowledgement of clusters waits for the last one.
func (e *envoy) unwarm(name string) {
	if e.warming[name] == nil {
		return
	}
	delete(e.warming, name)
	if len(e.warming) == 0 {
		e.resume(xdsres.Clusters)
	}
}

// takeEndpoints refuses the whole of a response with a malformed part. Then no cluster waits any
// longer, and those that did have no hosts.
func (e *envoy) takeEndpoints(r *response) string {
	for _, res := range r.resources {
		if why := r.refused[res.name]; why != "" {
			e.stopWaiting()
			return why
		}
	}
	came := map[string]string{}
	for _, res := range r.resources {
		came[res.name] = res.hash
	}
	for _, c := range e.active {
		if h, ok := came[c.eds]; ok && c.eds != "" {
			c.hosts = h
		}
	}
	for _, n := range r.removed {
		came[n] = "removed" // ends waiting without hosts
	}
	for _, c := range e.active {
		c.unhosted = c.unhosted || c.awaits() && came[c.eds] == "removed"
	}
	for _, name := range slices.Sorted(maps.Keys(e.warming)) {
		c := e.warming[name]
		if h, ok := came[c.eds]; ok {
			c.hosts = h
			e.active[name] = c
			e.unwarm(name)
		}
	}
	return ""
}

// stopWaiting puts clusters into service without hosts.
func (e *envoy) stopWaiting() {
	for _, c := range e.active {
		c.unhosted = c.unhosted || c.awaits()
	}
	for _, name := range slices.Sorted(maps.Keys(e.warming)) {
		e.active[name] = e.warming[name]
		e.active[name].unhosted = true
		e.unwarm(name)
	}
}

func (e *envoy) takeListeners(r *response) string {
	var wrong []string
	for _, n := range removals(e, r, e.listeners, e.waiting) {
		e.drain(n)
		delete(e.waiting, n)
	}
	for _, res := range r.resources {
		if why := r.refused[res.name]; why != "" {
			wrong = append(wrong, res.name+": "+why)
			continue
		}
		if w := e.waiting[res.name]; w != nil && w.hash == res.hash {
			continue
		} else if a := e.listeners[res.name]; w == nil && a != nil && a.hash == res.hash {
			continue
		}
		e.waiting[res.name] = res
	}
	e.settle()
	return named("listener", wrong)
}

func (e *envoy) drain(name string) {
	if l := e.listeners[name]; l != nil {
		e.draining = append(e.draining, drain{l, e.now().Add(e.drainTime)})
		delete(e.listeners, name)
	}
}

// settle puts listeners into service whose routes are there, and asks for those that are not.
func (e *envoy) settle() {
	for _, name := range slices.Sorted(maps.Keys(e.waiting)) {
		l := e.waiting[name]
		if slices.ContainsFunc(l.rds, e.awaitsRoutes) {
			continue
		}
		e.drain(name)
		e.listeners[name] = l
		delete(e.waiting, name)
	}
	names := map[string]struct{}{}
	use := func(l *resource) {
		for _, n := range l.rds {
			names[n] = struct{}{}
		}
	}
	for _, l := range e.listeners {
		use(l)
	}
	for _, l := range e.waiting {
		use(l)
	}
	e.draining = slices.DeleteFunc(e.draining, func(d drain) bool { return !e.now().Before(d.until) })
	for _, d := range e.draining {
		use(d.resource)
	}
	maps.DeleteFunc(e.routes, func(n string, _ *resource) bool { _, used := names[n]; return !used })
	maps.DeleteFunc(e.unrouted, func(n string, _ struct{}) bool { _, used := names[n]; return !used })
	e.want(xdsres.Routes, names, false)
}

func (e *envoy) awaitsRoutes(name string) bool {
	_, goes := e.unrouted[name]
	return e.routes[name] == nil && !goes
}

// takeRoutes applies a response up to the first malformed part. If there is one, no listener waits
// any longer.
func (e *envoy) takeRoutes(r *response) string {
	s := e.sub(xdsres.Routes)
	detail := ""
	for _, res := range r.resources {
		if _, asked := s.asks(res.name); !asked {
			continue
		}
		if detail = r.refused[res.name]; detail != "" {
			for n := range s.versions {
				if e.routes[n] == nil {
					e.unrouted[n] = struct{}{}
				}
			}
			break
		}
		e.routes[res.name] = res
		delete(e.unrouted, res.name)
	}
	e.settle()
	return detail
}

// named is how Envoy tells which parts of a response it refused.
func named(kind string, wrong []string) string {
	if len(wrong) == 0 {
		return ""
	}
	return "Error adding/updating " + kind + "(s) " + strings.Join(wrong, ", ")
}
