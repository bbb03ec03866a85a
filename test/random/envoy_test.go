package random

import (
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// envoy is a proxy's configuration and how it changes by responses, without I/O.
type envoy struct {
	mux
	now func() time.Time
	// refuses tells what is wrong with a resource in this Envoy's eyes; "" for nothing.
	refuses func(push.Type, *resource) string

	initialized bool // the first clusters have their endpoints
	active      map[string]*cluster
	warming     map[string]*cluster
	listeners   map[string]*resource // in service
	waiting     map[string]*resource // listeners that wait for routes
	draining    []drain
	routes      map[string]*resource // nil for what did not come yet
	table       string               // the name table's hash
}

type cluster struct {
	*resource
	hosts string    // the load assignment's hash; "" for none
	sent  time.Time // when it was first seen to be warming
}

// drain is a listener that serves its last requests.
type drain struct {
	*resource
	until time.Time
}

// drainTime is how long a former listener keeps its routes.
const drainTime = 10 * time.Second

func newEnvoy(delta bool, now func() time.Time) *envoy {
	e := &envoy{
		now: now, active: map[string]*cluster{}, warming: map[string]*cluster{},
		listeners: map[string]*resource{}, waiting: map[string]*resource{}, routes: map[string]*resource{},
		refuses: func(push.Type, *resource) string { return "" },
	}
	e.isDelta = delta
	e.subscribe(push.Clusters, true)
	return e
}

// receive applies a response and answers it.
func (e *envoy) receive(r *response) {
	var detail string
	switch r.typ {
	case push.Clusters:
		e.pause(push.Endpoints)
		detail = e.takeClusters(r)
		e.resume(push.Endpoints)
	case push.Endpoints:
		detail = e.takeEndpoints(r)
	case push.Listeners:
		e.pause(push.Routes)
		detail = e.takeListeners(r)
		e.resume(push.Routes)
	case push.Routes:
		detail = e.takeRoutes(r)
	case push.NameTables:
		for _, res := range r.resources {
			e.table = res.hash
		}
	}
	e.answer(r, detail)
	e.initialize()
}

// initialize asks for listeners once the first clusters are there.
func (e *envoy) initialize() {
	if s := e.sub(push.Clusters); e.initialized || len(s.listed) == 0 && s.version == "" {
		return
	}
	for _, c := range e.active {
		if c.eds != "" && c.hosts == "" {
			return
		}
	}
	e.initialized = true
	e.subscribe(push.Listeners, true)
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
		if why := e.refuses(push.Clusters, res); why != "" {
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
	e.want(push.Endpoints, names, again)
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
	if res.eds == "" || !e.initialized {
		e.unwarm(res.name)
		e.active[res.name] = c
		return res.eds != ""
	}
	if len(e.warming) == 0 {
		e.pause(push.Clusters)
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
		e.resume(push.Clusters)
	}
}

// takeEndpoints refuses the whole of a response with a malformed part.
func (e *envoy) takeEndpoints(r *response) string {
	for _, res := range r.resources {
		if why := e.refuses(push.Endpoints, res); why != "" {
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
		came[n] = "removed" // ends warming without hosts
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

func (e *envoy) takeListeners(r *response) string {
	var wrong []string
	for _, n := range removals(e, r, e.listeners, e.waiting) {
		e.drain(n)
		delete(e.waiting, n)
	}
	for _, res := range r.resources {
		if why := e.refuses(push.Listeners, res); why != "" {
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
		e.draining = append(e.draining, drain{l, e.now().Add(drainTime)})
		delete(e.listeners, name)
	}
}

// settle puts listeners into service whose routes are there, and asks for those that are not.
func (e *envoy) settle() {
	for _, name := range slices.Sorted(maps.Keys(e.waiting)) {
		l := e.waiting[name]
		if slices.ContainsFunc(l.rds, func(n string) bool { return e.routes[n] == nil }) {
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
	e.want(push.Routes, names, false)
}

// takeRoutes applies a response up to the first bad part.
func (e *envoy) takeRoutes(r *response) string {
	s := e.sub(push.Routes)
	detail := ""
	for _, res := range r.resources {
		if _, asked := s.versions[res.name]; !asked {
			continue
		}
		if detail = e.refuses(push.Routes, res); detail != "" {
			break
		}
		e.routes[res.name] = res
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
