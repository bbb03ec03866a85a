package bench

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/floor"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

type scenario struct {
	name string
	run  func(context.Context) error
}

// scenarios in the order in which they run.
func (r *runner) scenarios() []scenario {
	reach := func(at mesh.Reach) func(string) bool {
		return func(ns string) bool { return r.mesh.Concerned(ns, at) }
	}
	route := func(name string, at mesh.Reach) scenario {
		return r.changing(change{
			name: name, edit: func() mesh.Edit { return r.mesh.Route(at) },
			kind: ads.Routes, resource: fmt.Sprint(mesh.HTTPPort), concerned: reach(at),
		})
	}
	rule := func(name string, at mesh.Reach) scenario {
		return r.changing(change{
			name: name, edit: func() mesh.Edit { return r.mesh.Rule(at) },
			kind: ads.Clusters, resource: r.mesh.Cluster(r.mesh.ConfiguredService(int(at))), concerned: reach(at),
		})
	}
	return []scenario{
		{scenarioLoad, r.load},
		{scenarioCold, r.cold},
		{scenarioIdle, r.idle},
		r.changing(r.endpoint(scenarioEndpoint)),
		route(scenarioRouteOne, mesh.ReachNamespace),
		route(scenarioRouteTen, mesh.ReachTenth),
		route(scenarioRouteAll, mesh.ReachAll),
		rule(scenarioRuleOne, mesh.ReachNamespace),
		rule(scenarioRuleAll, mesh.ReachAll),
		{scenarioTouch, r.touch},
		{scenarioChurn, r.churn},
		{scenarioRollout, r.rollout},
		{scenarioStalled, r.stalled},
		{scenarioReconnect, r.reconnect},
		{scenarioRestart, r.restart},
		{scenarioSotW, func(ctx context.Context) error { return r.side(ctx, scenarioSotW, true, false) }},
		{scenarioTLS, func(ctx context.Context) error { return r.side(ctx, scenarioTLS, false, true) }},
	}
}

// load starts the server; the time until it is ready is the file source's for the most part.
func (r *runner) load(ctx context.Context) error {
	start := time.Now()
	if err := r.server.start(ctx); err != nil {
		return err
	}
	took := time.Since(start)
	cpu, err := r.server.CPU()
	if err != nil {
		return err
	}
	if err := r.server.collect(ctx); err != nil {
		return err
	}
	s, err := r.server.sample(ctx)
	if err != nil {
		return err
	}
	m, err := r.server.Memory()
	if err != nil {
		return err
	}
	r.results = append(r.results, &Result{
		Name: scenarioLoad, Seconds: took.Seconds(), ServerCPU: cpu.Seconds(), Allocs: s.allocs, AllocBytes: s.allocBytes,
		Live: s.live, PeakRSS: float64(m.PeakRSS), PeakCgroup: float64(m.PeakCgroup),
	})
	return nil
}

// cold lets clients connect that have nothing, after one of each namespace has recorded what the
// floor has to send.
func (r *runner) cold(ctx context.Context) error {
	base, few, err := r.recordReplies(ctx)
	if err != nil {
		return err
	}
	fleet := ads.New(ads.Options{Nodes: nodes(r.mesh, r.ColdClients), Logger: r.Log})
	defer fleet.Disconnect()
	result, err := r.measure(ctx, scenarioCold, fleet, func(result *Result) error {
		return r.connectCold(ctx, fleet, r.server.plain, result)
	})
	if err != nil {
		return err
	}
	result.Notes = append(result.Notes, "full state: "+r.sizes())
	if err := r.quiet(ctx, fleet, time.Second); err != nil {
		return err
	}
	if result.Live, err = r.live(ctx); err != nil {
		return err
	}
	if more := fleet.Len() - few; more > 0 {
		result.PerClient = (result.Live - base) / float64(more)
	}
	fleet.Disconnect()
	return r.streams(ctx, 0)
}

func (r *runner) connectCold(ctx context.Context, fleet *ads.Fleet, address string, result *Result) error {
	start := time.Now()
	fleet.Connect(ctx, address)
	if err := r.synced(ctx, fleet); err != nil {
		return err
	}
	result.Each = quantiles(fleet.Synced(start))
	result.Last = &Quantiles{P50: result.Each.Max, P99: result.Each.Max, Max: result.Each.Max, Count: 1}
	return nil
}

// live gives the bytes of heap and stacks in use after a collection.
func (r *runner) live(ctx context.Context) (float64, error) {
	if err := r.server.collect(ctx); err != nil {
		return 0, err
	}
	s, err := r.server.sample(ctx)
	return s.live, err
}

// streams waits until the server has so many.
func (r *runner) streams(ctx context.Context, n int) error {
	return wait(ctx, "streams of the server", n, func() int {
		s, err := r.server.sample(ctx)
		if err != nil {
			return -1
		}
		return int(s.streams)
	})
}

// recordReplies connects one client of each namespace; it gives the memory in use with them, and
// how many they are.
func (r *runner) recordReplies(ctx context.Context) (base float64, n int, err error) {
	n = min(r.Mesh.Namespaces, r.ColdClients)
	fleet := ads.New(ads.Options{Nodes: nodes(r.mesh, n), Logger: r.Log})
	defer fleet.Disconnect()
	tapes := map[string]*ads.Tape{}
	all := nodes(r.mesh, n)
	for i := range n {
		if class := all[i].Namespace; r.Mesh.Scoped {
			tapes[class] = fleet.Record(i)
		} else if i == 0 {
			tapes[floor.Everyone] = fleet.Record(i)
		}
	}
	fleet.Connect(ctx, r.server.plain)
	if err := r.synced(ctx, fleet); err != nil {
		return 0, 0, err
	}
	if err := r.quiet(ctx, fleet, 500*time.Millisecond); err != nil {
		return 0, 0, err
	}
	for class, tape := range tapes {
		r.replies.Cold[class] = byKind(tape.Frames())
	}
	if base, err = r.live(ctx); err != nil {
		return 0, 0, err
	}
	fleet.Disconnect()
	return base, n, r.streams(ctx, 0)
}

func byKind(frames []ads.Frame) map[ads.Kind][][]byte {
	out := map[ads.Kind][][]byte{}
	for _, f := range frames {
		out[f.Kind] = append(out[f.Kind], f.Bytes)
	}
	return out
}

// sizes tells what the first client's state consists of, in bytes of messages.
func (r *runner) sizes() string {
	class := floor.Everyone
	if r.Mesh.Scoped {
		class = r.mesh.Workload(0).Namespace
	}
	var out []string
	for _, k := range []ads.Kind{ads.Clusters, ads.Endpoints, ads.Listeners, ads.Routes} {
		n := 0
		for _, b := range r.replies.Cold[class][k] {
			n += len(b)
		}
		out = append(out, fmt.Sprintf("%s %d", k, n))
	}
	return strings.Join(out, ", ")
}

// idle shows what the server uses while nothing happens.
func (r *runner) idle(ctx context.Context) error {
	fleet, err := r.connected(ctx)
	if err != nil {
		return err
	}
	_, err = r.measure(ctx, scenarioIdle, fleet, func(*Result) error { return sleep(ctx, 3*time.Second) })
	return err
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// side lets a few clients of the other protocol, or over TLS, connect.
func (r *runner) side(ctx context.Context, name string, sotw, secure bool) error {
	o := ads.Options{Nodes: nodes(r.mesh, r.SideClients), Logger: r.Log}
	for i := range o.Nodes {
		o.Nodes[i].SotW = sotw
	}
	address := r.server.plain
	if secure {
		var err error
		if o.TLS, err = r.secure(o.Nodes); err != nil {
			return err
		}
		address = r.server.secure
	}
	fleet := ads.New(o)
	defer fleet.Disconnect()
	_, err := r.measure(ctx, name, fleet, func(result *Result) error {
		return r.connectCold(ctx, fleet, address, result)
	})
	return err
}
