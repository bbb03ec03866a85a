package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// uninterested measures what a change costs for each client that it is not for: the same changes
// are made with further clients of other namespaces, and without them before and after. Each of
// them is the twin of one that is connected anyway, so that no views are added. The difference is
// small beside what the changes themselves cost; so there are many.
func (r *runner) uninterested(ctx context.Context) error {
	fleet, err := r.connected(ctx)
	if err != nil {
		return err
	}
	c, n := r.route(scenarioUninterested, mesh.ReachNamespace), 4*r.Repetitions
	repeat := func(result *Result) error { return r.repeat(ctx, fleet, c, n, result) }
	before, err := r.take(ctx, scenarioUninterested, fleet, repeat)
	if err != nil {
		return err
	}
	twins, err := r.twins(func(ns string) bool { return !c.concerned(ns) })
	if err != nil {
		return err
	}
	if twins.Len() == 0 {
		return fmt.Errorf("no pod outside %v has a twin", r.namespaces(c.concerned))
	}
	defer twins.Disconnect()
	if err := connect(ctx, twins, r.server.plain); err != nil {
		return err
	}
	if err := quiet(ctx, twins, time.Second); err != nil {
		return err
	}
	stats := twins.Stats()
	many, err := r.measure(ctx, scenarioUninterested, fleet, repeat)
	if err != nil {
		return err
	}
	if got := twins.Stats().Messages - stats.Messages; got > 0 {
		return fmt.Errorf("clients that are not concerned got %d messages", got)
	}
	twins.Disconnect()
	if err := r.streams(ctx, fleet.Len()); err != nil {
		return err
	}
	after, err := r.take(ctx, scenarioUninterested, fleet, repeat)
	if err != nil {
		return err
	}
	cost := 1e6 * (many.ServerCPU - (before.ServerCPU+after.ServerCPU)/2) / float64(n*twins.Len())
	many.Uninterested, many.Against, many.Clients = &cost, after, fleet.Len()+twins.Len()
	return nil
}

// twins gives clients of namespaces that differ from a client of the fleet in name and address only.
func (r *runner) twins(in func(string) bool) (*ads.Fleet, error) {
	o := ads.Options{Logger: r.Log}
	for i := range min(r.Clients, r.Mesh.Services) {
		w, ok := r.mesh.Twin(i)
		if !ok || !in(w.Namespace) {
			continue
		}
		n, err := node(w)
		if err != nil {
			return nil, err
		}
		o.Nodes = append(o.Nodes, n)
	}
	return ads.New(o), nil
}
