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
	name string
	// edit gives the next one, and the resource that shows its arrival.
	edit func() (e mesh.Edit, resource string)
	kind ads.Kind   // of that resource
	due  []ads.Kind // of the responses that it leads to
	// concerned tells whether the clients of a namespace get it.
	concerned func(namespace string) bool
	// workload is the service account of those of them that get it; "" for all. The floor knows
	// namespaces only, and sends nothing of such a change.
	workload string
}

// concerns tells whether a client gets it.
func (c *change) concerns(fleet *ads.Fleet, client int) bool {
	return c.concerned(fleet.Namespace(client)) && (c.workload == "" || c.workload == fleet.Account(client))
}

// endpoint changes the address of a pod that is no client's, unless every pod is.
func (r *runner) endpoint(name string) change {
	service := r.mesh.Free()
	c := r.endpointOf(service)
	c.name, c.concerned = name, func(ns string) bool { return r.mesh.Sees(ns, service) }
	return c
}

func (r *runner) endpointOf(service int) change {
	return change{
		edit: func() (mesh.Edit, string) {
			return r.mesh.Endpoint(service, r.Mesh.Endpoints-1), r.mesh.Cluster(service)
		},
		kind: ads.Endpoints, due: []ads.Kind{ads.Endpoints},
	}
}

func (r *runner) route(name string, at mesh.Reach) change {
	return change{
		name: name, edit: func() (mesh.Edit, string) { return r.mesh.Route(at), fmt.Sprint(mesh.HTTPPort) },
		kind: ads.Routes, due: []ads.Kind{ads.Routes},
		concerned: func(ns string) bool { return r.mesh.Routed(ns, at) },
	}
}

// rule changes a cluster; Envoy needs the load assignment of each cluster that it gets.
func (r *runner) rule(name string, at mesh.Reach) change {
	cluster := r.mesh.Cluster(r.mesh.ConfiguredService(int(at)))
	return change{
		name: name, edit: func() (mesh.Edit, string) { return r.mesh.Rule(at), cluster },
		kind: ads.Clusters, due: []ads.Kind{ads.Clusters, ads.Endpoints},
		concerned: func(ns string) bool { return r.mesh.Concerned(ns, at) },
	}
}

// policy changes what the proxies of ns-0 demand of those who connect to them.
func (r *runner) policy() change {
	return change{
		name: scenarioPolicy, edit: func() (mesh.Edit, string) { return r.mesh.Policy(), "virtualInbound" },
		kind: ads.Listeners, due: []ads.Kind{ads.Listeners},
		concerned: func(ns string) bool { return ns == mesh.Namespace(0) },
	}
}

// policyOfWorkload changes what one workload of ns-0 denies.
func (r *runner) policyOfWorkload() change {
	c := r.policy()
	c.name, c.workload = scenarioPolicyWorkload, r.mesh.Alone()
	c.edit = func() (mesh.Edit, string) { return r.mesh.PolicyOfWorkload(), "virtualInbound" }
	return c
}

// policyOfAll changes what all workloads deny.
func (r *runner) policyOfAll() change {
	c := r.policy()
	c.name, c.concerned = scenarioPolicyAll, func(string) bool { return true }
	c.edit = func() (mesh.Edit, string) { return r.mesh.PolicyOfAll(), "virtualInbound" }
	return c
}

// external changes an external service that ns-0 alone sees.
func (r *runner) external() change {
	return change{
		name: scenarioExternal, edit: r.mesh.External, kind: ads.Clusters, due: []ads.Kind{ads.Clusters},
		concerned: func(ns string) bool { return ns == mesh.Namespace(0) },
	}
}

// filterOfWorkload changes a patch of the inbound listener of one workload of ns-0.
func (r *runner) filterOfWorkload() change {
	c := r.policyOfWorkload()
	c.name, c.edit = scenarioFilterWorkload, func() (mesh.Edit, string) { return r.mesh.FilterOfWorkload(), "virtualInbound" }
	return c
}

// filterOfNamespace changes a patch of a cluster that the proxies of ns-0 alone get so.
func (r *runner) filterOfNamespace() change {
	return change{
		name: scenarioFilterOne, edit: r.mesh.FilterOfNamespace, kind: ads.Clusters, due: []ads.Kind{ads.Clusters, ads.Endpoints},
		concerned: func(ns string) bool { return ns == mesh.Namespace(0) },
	}
}

// serviceAdded adds a service to those of ns-0, each time another.
func (r *runner) serviceAdded() change {
	return change{
		name: scenarioService, edit: r.mesh.AddService,
		kind: ads.Clusters, due: []ads.Kind{ads.Clusters, ads.Endpoints, ads.Listeners, ads.Routes},
		concerned: func(ns string) bool { return r.mesh.Sees(ns, r.mesh.Free()) },
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
	tapes, before := r.record(fleet), fleet.Received()
	result, err := r.measure(ctx, c.name, fleet, func(result *Result) error {
		return r.repeat(ctx, fleet, r.Repetitions, result, c)
	})
	frames := tapes.stop()
	if err != nil {
		return err
	}
	result.Stray = astray(before, fleet.Received(), func(client int) bool { return c.concerns(fleet, client) })
	if c.workload != "" {
		return nil
	}
	result.Due = float64(bytesOf(frames[r.firstClass()], c.due...)) * float64(result.Concerned) / float64(result.Clients)
	r.plays = append(r.plays, *r.replay(result, frames, c.concerned))
	return nil
}

// astray counts the messages to clients that a change is not for.
func astray(before, after []int64, concerned func(client int) bool) int64 {
	n := int64(0)
	for i := range after {
		if !concerned(i) {
			n += after[i] - before[i]
		}
	}
	return n
}

// firstClass is that of client 0, which is concerned by each change.
func (r *runner) firstClass() string {
	if r.namespaced() {
		return r.workload(0).Namespace
	}
	return everyone
}

// longest is after how long a slow server is spared further changes of a scenario.
const longest = 20 * time.Second

// repeat makes n changes, in turn if there are several, and adds what they took to the result.
func (r *runner) repeat(ctx context.Context, fleet *ads.Fleet, n int, result *Result, changes ...change) error {
	defer fleet.Unwatch()
	var last, each []time.Duration
	expect := 0
	start := time.Now()
	for i := range n {
		if time.Since(start) > longest {
			break
		}
		result.Changes++
		c := &changes[i%len(changes)]
		expect = reading(fleet, c)
		edit, resource := c.edit()
		mark := fleet.Watch(c.kind, resource, expect)
		at, err := r.apply(ctx, edit)
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
	result.Concerned = expect
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

// reading counts the clients of a fleet that a change is for and that read.
func reading(fleet *ads.Fleet, c *change) int {
	n := 0
	for i := range fleet.Len() {
		if c.concerns(fleet, i) && !fleet.Stalls(i) {
			n++
		}
	}
	return n
}
