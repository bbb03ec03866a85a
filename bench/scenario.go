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
	changing := func(c change) scenario {
		return scenario{c.name, func(ctx context.Context) error { return r.changing(ctx, c) }}
	}
	return []scenario{
		{scenarioLoad, r.load},
		{scenarioCold, r.cold},
		{scenarioIdle, r.idle},
		changing(r.endpoint(scenarioEndpoint)),
		changing(r.route(scenarioRouteOne, mesh.ReachNamespace)),
		changing(r.route(scenarioRouteTen, mesh.ReachTenth)),
		changing(r.route(scenarioRouteAll, mesh.ReachAll)),
		changing(r.rule(scenarioRuleOne, mesh.ReachNamespace)),
		changing(r.rule(scenarioRuleAll, mesh.ReachAll)),
		changing(r.policy()),
		changing(r.policyOfWorkload()),
		changing(r.policyOfAll()),
		changing(r.external()),
		changing(r.filterOfWorkload()),
		changing(r.filterOfNamespace()),
		changing(r.serviceAdded()),
		changing(r.gatewayRoute()),
		changing(r.secret()),
		{scenarioUninterested, r.uninterested},
		{scenarioGatewayRules, r.gatewayRules},
		{scenarioTouch, r.touch},
		{scenarioChurn, r.churn},
		{scenarioRollout, r.rollout},
		{scenarioStalled, r.stalled},
		{scenarioReconnect, r.reconnect},
		{scenarioRestart, r.restart},
		{scenarioSotW, func(ctx context.Context) error { return r.side(ctx, scenarioSotW, true, false) }},
		{scenarioTLS, func(ctx context.Context) error { return r.side(ctx, scenarioTLS, false, true) }},
		{scenarioCertificates, r.certificates},
		{scenarioCertificateRate, r.certificateRate},
	}
}

// load starts the server; the time until it is ready is the file source's for the most part.
func (r *runner) load(ctx context.Context) error {
	if err := r.server.start(ctx); err != nil {
		return err
	}
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
	ready := r.server.ready.Seconds()
	r.results = append(r.results, &Result{
		Name: scenarioLoad, Seconds: ready, Ready: ready, ServerCPU: cpu.Seconds(), Allocs: s.allocs, AllocBytes: s.allocBytes,
		Live: s.live, PeakRSS: float64(m.PeakRSS), PeakCgroup: float64(m.PeakCgroup),
	})
	return nil
}

// footprint is what the server holds at rest with some clients.
type footprint struct {
	clients      int
	live, memory float64
}

// cold lets clients connect that have nothing, after one of each namespace has recorded what the
// floor has to send.
func (r *runner) cold(ctx context.Context) error {
	few, err := r.recordReplies(ctx)
	if err != nil {
		return err
	}
	fleet, err := r.newFleet(r.ColdClients)
	if err != nil {
		return err
	}
	defer fleet.Disconnect()
	result, err := r.measure(ctx, scenarioCold, fleet, func(result *Result) error {
		return connectCold(ctx, fleet, r.address(), result)
	})
	if err != nil {
		return err
	}
	r.starts = append(r.starts, start{result: result})
	var about string
	result.State, about = r.state()
	result.Notes = append(result.Notes, "full state of client 0: "+about)
	if err := quiet(ctx, fleet, time.Second); err != nil {
		return err
	}
	many, err := r.footprint(ctx, fleet)
	if err != nil {
		return err
	}
	result.Live = many.live
	if more := float64(many.clients - few.clients); more > 0 {
		result.PerClient, result.PeakPerClient = (many.live-few.live)/more, (result.Peak()-few.memory)/more
	}
	fleet.Disconnect()
	return r.streams(ctx, 0)
}

func connectCold(ctx context.Context, fleet *ads.Fleet, address string, result *Result) error {
	start := time.Now()
	if err := connect(ctx, fleet, address); err != nil {
		return err
	}
	result.Concerned = fleet.Len()
	result.Each = quantiles(fleet.Synced(start))
	result.Last = &Quantiles{P50: result.Each.Max, P99: result.Each.Max, Max: result.Each.Max, Count: 1}
	return nil
}

// footprint reads the server's memory after a collection.
func (r *runner) footprint(ctx context.Context, fleet *ads.Fleet) (footprint, error) {
	if err := r.server.collect(ctx); err != nil {
		return footprint{}, err
	}
	s, err := r.server.sample(ctx)
	if err != nil {
		return footprint{}, err
	}
	m, err := r.server.Memory()
	return footprint{clients: fleet.Len(), live: s.live, memory: float64(max(m.Cgroup, m.RSS))}, err
}

// recordReplies lets one client of each namespace connect and keeps what they get.
func (r *runner) recordReplies(ctx context.Context) (footprint, error) {
	fleet, err := r.newFleet(min(r.differing(), r.ColdClients))
	if err != nil {
		return footprint{}, err
	}
	defer fleet.Disconnect()
	tapes := r.record(fleet)
	if err := connect(ctx, fleet, r.address()); err != nil {
		return footprint{}, err
	}
	if err := quiet(ctx, fleet, 500*time.Millisecond); err != nil {
		return footprint{}, err
	}
	r.answer(tapes.stop(), floor.Class{})
	few, err := r.footprint(ctx, fleet)
	if err != nil {
		return footprint{}, err
	}
	fleet.Disconnect()
	return few, r.streams(ctx, 0)
}

// state gives the size of the first client's full state, and of its types, in bytes of messages.
func (r *runner) state() (float64, string) {
	var class floor.Class
	if r.namespaced() {
		class.Namespace = r.firstClass()
	}
	sum := 0
	var out []string
	for _, k := range []ads.Kind{ads.Clusters, ads.Endpoints, ads.Listeners, ads.Routes, ads.Secrets} {
		n := 0
		for _, b := range r.replies.By[class][k] {
			n += len(b)
		}
		sum += n
		out = append(out, fmt.Sprintf("%s %d", k, n))
	}
	return float64(sum), strings.Join(out, ", ")
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

// side lets a few clients of the other protocol, or with certificates, connect.
func (r *runner) side(ctx context.Context, name string, sotw, secure bool) error {
	r.startOver()
	var o ads.Options
	var by *authority
	var err error
	address := r.server.plain
	if secure {
		if by, err = openAuthority(r.server.caDir); err != nil {
			return err
		}
		o.TLS, address = by.client(), r.server.secure
	}
	if o.Nodes, err = r.sideNodes(sotw, by); err != nil {
		return err
	}
	o.Logger = r.Log
	fleet := ads.New(o)
	defer fleet.Disconnect()
	tapes := r.record(fleet)
	result, err := r.measure(ctx, name, fleet, func(result *Result) error {
		return connectCold(ctx, fleet, address, result)
	})
	if err != nil {
		return err
	}
	frames := tapes.stop()
	if sotw { // over TLS they get what the others got
		r.answer(frames, floor.Class{SotW: true})
	}
	r.starts = append(r.starts, start{result: result, side: &o, secure: secure})
	fleet.Disconnect()
	return r.streams(ctx, 0)
}
