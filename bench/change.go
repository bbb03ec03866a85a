package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// change is one that is made again and again, each time after the former has arrived.
type change struct {
	name     string
	edit     func() mesh.Edit
	kind     ads.Kind // of the resource that shows its arrival
	resource string
	due      []ads.Kind // of the responses that it leads to
	// concerned tells whether the clients of a namespace get it.
	concerned func(namespace string) bool
}

// endpoint changes the address of a pod that is no client's, unless every pod is.
func (r *runner) endpoint(name string) change {
	service := 3 * r.Mesh.Namespaces // of ns-0, and without an object of fixed reach
	return change{
		name: name, edit: func() mesh.Edit { return r.mesh.Endpoint(service, r.Mesh.Endpoints-1) },
		kind: ads.Endpoints, resource: r.mesh.Cluster(service), due: []ads.Kind{ads.Endpoints},
		concerned: func(ns string) bool { return r.mesh.Sees(ns, service) },
	}
}

func (r *runner) route(name string, at mesh.Reach) change {
	return change{
		name: name, edit: func() mesh.Edit { return r.mesh.Route(at) },
		kind: ads.Routes, resource: fmt.Sprint(mesh.HTTPPort), due: []ads.Kind{ads.Routes},
		concerned: func(ns string) bool { return r.mesh.Concerned(ns, at) },
	}
}

// rule changes a cluster; Envoy needs the load assignment of each cluster that it gets.
func (r *runner) rule(name string, at mesh.Reach) change {
	return change{
		name: name, edit: func() mesh.Edit { return r.mesh.Rule(at) },
		kind: ads.Clusters, resource: r.mesh.Cluster(r.mesh.ConfiguredService(int(at))), due: []ads.Kind{ads.Clusters, ads.Endpoints},
		concerned: func(ns string) bool { return r.mesh.Concerned(ns, at) },
	}
}

// pause is between the arrival of one change and the next.
const pause = 50 * time.Millisecond

// changing measures a change for its own.
func (r *runner) changing(ctx context.Context, c change) error {
	fleet, err := r.connected(ctx)
	if err != nil {
		return err
	}
	tapes := r.record(fleet)
	result, err := r.measure(ctx, c.name, fleet, func(result *Result) error {
		return r.repeat(ctx, fleet, c, r.Repetitions, result)
	})
	frames := tapes.stop()
	if err != nil {
		return err
	}
	result.Due = float64(bytesOf(frames[r.firstClass()], c.due...)) * float64(result.Concerned) / float64(result.Clients)
	r.plays = append(r.plays, *r.replay(result, frames, c.concerned))
	return nil
}

// firstClass is that of client 0, which is concerned by each change.
func (r *runner) firstClass() string {
	if r.Mesh.Scoped {
		return mesh.Namespace(0)
	}
	return everyone
}

// repeat makes a change n times and adds what it took to the result.
func (r *runner) repeat(ctx context.Context, fleet *ads.Fleet, c change, n int, result *Result) error {
	expect := r.concerned(c.concerned) - r.stalledClients(fleet, c.concerned)
	defer fleet.Unwatch()
	var last, each []time.Duration
	for range n {
		mark := fleet.Watch(c.kind, c.resource, expect)
		at, err := c.edit().Apply()
		if err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-mark.Reached():
		case <-time.After(patience / 3):
			result.Missing += expect - mark.Count()
		}
		if delays := mark.Delays(at); len(delays) > 0 {
			last, each = append(last, delays[len(delays)-1]), append(each, delays...)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
	}
	result.Concerned, result.Changes = expect, n
	result.Last, result.Each = quantiles(last), quantiles(each)
	return nil
}

// namespaces are those of the mesh that are concerned.
func (r *runner) namespaces(in func(string) bool) []string {
	var out []string
	for n := range r.Mesh.Namespaces {
		if ns := mesh.Namespace(n); in(ns) {
			out = append(out, ns)
		}
	}
	return out
}

// concerned counts the clients whose namespace is.
func (r *runner) concerned(in func(string) bool) int {
	n := 0
	for ns, clients := range r.population {
		if in(ns) {
			n += clients
		}
	}
	return n
}

func (r *runner) stalledClients(fleet *ads.Fleet, in func(string) bool) int {
	n := 0
	for i := range r.Clients {
		if fleet.Stalls(i) && in(fleet.Namespace(i)) {
			n++
		}
	}
	return n
}
