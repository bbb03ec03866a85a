package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/floor"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// change is one that is made again and again, each time after the former has arrived.
type change struct {
	name     string
	edit     func() mesh.Edit
	kind     ads.Kind // of the resource that shows its arrival
	resource string
	// concerned tells whether the clients of a namespace get it.
	concerned func(namespace string) bool
}

// endpoint changes the address of a pod that is no client's.
func (r *runner) endpoint(name string) change {
	service := 3 * r.Mesh.Namespaces // of ns-0, and without an object of fixed reach
	return change{
		name: name, edit: func() mesh.Edit { return r.mesh.Endpoint(service, r.Mesh.Endpoints-1) },
		kind: ads.Endpoints, resource: r.mesh.Cluster(service),
		concerned: func(ns string) bool { return r.mesh.Sees(ns, service) },
	}
}

// pause is between the arrival of one change and the next, so that no two are merged.
const pause = 150 * time.Millisecond

// changing measures a change for its own.
func (r *runner) changing(c change) scenario {
	return scenario{c.name, func(ctx context.Context) error {
		fleet, err := r.connected(ctx)
		if err != nil {
			return err
		}
		tape := fleet.Record(0)
		result, err := r.measure(ctx, c.name, fleet, func(result *Result) error {
			return r.repeat(ctx, fleet, c, r.Repetitions, result)
		})
		if err != nil {
			return err
		}
		fleet.Stop(0)
		r.replay(result, tape.Frames(), c.concerned)
		if excess := result.Messages - int64(result.Concerned*result.Changes); excess > int64(result.Concerned*result.Changes) {
			result.Notes = append(result.Notes, fmt.Sprintf("%d messages for %d deliveries", result.Messages, result.Concerned*result.Changes))
		}
		return nil
	}}
}

// repeat makes a change n times and adds what it took to the result.
func (r *runner) repeat(ctx context.Context, fleet *ads.Fleet, c change, n int, result *Result) error {
	expect := r.concerned(c.concerned)
	if stalled := r.stalledClients(fleet, c.concerned); stalled > 0 {
		expect -= stalled
	}
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
	fleet.Unwatch()
	result.Concerned, result.Changes = expect, result.Changes+n
	result.Last, result.Each = quantiles(last), quantiles(each)
	return nil
}

// concerned counts the clients whose namespace is.
func (r *runner) concerned(in func(string) bool) int {
	n := 0
	for i := range r.Clients {
		if in(r.mesh.Workload(i).Namespace) {
			n++
		}
	}
	return n
}

func (r *runner) stalledClients(fleet *ads.Fleet, in func(string) bool) int {
	n := 0
	for i := range r.Clients {
		if fleet.Stalls(i) && in(r.mesh.Workload(i).Namespace) {
			n++
		}
	}
	return n
}

// gap is the longest that the floor waits between two responses; a real pause costs nothing.
const gap = 20 * time.Millisecond

// replay lets the floor send what client 0 got, later, to the clients that were concerned.
func (r *runner) replay(result *Result, frames []ads.Frame, concerned func(string) bool) {
	frames = slices.Clone(frames)
	var cut, former time.Duration
	for i := range frames {
		after := frames[i].After
		if i == 0 || after-former > gap {
			cut += after - former - min(gap, after-former)
		}
		former = after
		frames[i].After = after - cut
	}
	p := play{result: result, Play: floor.Play{Frames: frames}, clients: r.concerned(concerned)}
	if p.clients < r.Clients {
		for n := range r.Mesh.Namespaces {
			if ns := fmt.Sprintf("ns-%d", n); concerned(ns) {
				p.Namespaces = append(p.Namespaces, ns)
			}
		}
	}
	r.plays = append(r.plays, p)
}
