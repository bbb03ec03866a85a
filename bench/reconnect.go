package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/floor"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// stalled measures endpoint changes while one client in ten does not read, in turn with all
// reading. Large responses, that the ten do not take, come first.
func (r *runner) stalled(ctx context.Context) error {
	fleet, err := r.connected(ctx)
	if err != nil {
		return err
	}
	turns := 5
	if r.Repetitions < 2*turns {
		turns = 2
	}
	c := r.endpoint(scenarioStalled)
	repetitions := max(2, r.Repetitions/turns)
	var with, without Result
	for range turns {
		for _, turn := range []struct {
			stall int
			to    *Result
		}{{0, &without}, {10, &with}} {
			if err := r.stallTurn(ctx, fleet, c, turn.stall, repetitions, turn.to); err != nil {
				return err
			}
		}
	}
	result, against := with, without
	result.Name, result.Clients, result.Against = scenarioStalled, fleet.Len(), &against
	r.results = append(r.results, &result)
	return nil
}

// stallTurn measures a few changes and adds them to the result.
func (r *runner) stallTurn(ctx context.Context, fleet *ads.Fleet, c change, stall, n int, to *Result) error {
	fleet.Stall(stall)
	defer fleet.Stall(0)
	everyone := func(ns string) bool { return r.mesh.Concerned(ns, mesh.ReachAll) }
	large := fleet.Watch(ads.Routes, fmt.Sprint(mesh.HTTPPort), r.concerned(everyone)-r.stalledClients(fleet, everyone))
	if _, err := r.mesh.Route(mesh.ReachAll).Apply(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-large.Reached():
	case <-time.After(patience / 3):
		return fmt.Errorf("a route reached %d clients", large.Count())
	}
	if err := r.quiet(ctx, fleet, time.Second); err != nil {
		return err
	}
	former := *to
	kept := r.results
	result, err := r.measure(ctx, "", fleet, func(result *Result) error { return r.repeat(ctx, fleet, c, n, result) })
	r.results = kept
	if err != nil {
		return err
	}
	*to = *result
	if former.Last != nil { // of turns, the middle one would be better; the worst is what is shown
		to.Last, to.Each = worse(former.Last, to.Last), worse(former.Each, to.Each)
	}
	to.ServerCPU += former.ServerCPU
	to.Seconds += former.Seconds
	to.Changes += former.Changes
	to.Missing += former.Missing
	fleet.Stall(0)
	return r.quiet(ctx, fleet, time.Second)
}

func worse(a, b *Quantiles) *Quantiles {
	if a == nil || b == nil {
		return nil
	}
	return &Quantiles{P50: max(a.P50, b.P50), P99: max(a.P99, b.P99), Max: max(a.Max, b.Max), Count: a.Count + b.Count}
}

// reconnect ends all streams and lets the clients come back with what they have.
func (r *runner) reconnect(ctx context.Context) error {
	fleet, err := r.connected(ctx)
	if err != nil {
		return err
	}
	fleet.Disconnect()
	if err := r.streams(ctx, 0); err != nil {
		return err
	}
	return r.comeBack(ctx, scenarioReconnect, fleet)
}

// restart kills the server and lets the clients come back to a new one.
func (r *runner) restart(ctx context.Context) error {
	fleet, err := r.connected(ctx)
	if err != nil {
		return err
	}
	fleet.Disconnect()
	r.server.Stop(true)
	start := time.Now()
	if err := r.server.start(ctx); err != nil {
		return err
	}
	ready := time.Since(start)
	if err := r.comeBack(ctx, scenarioRestart, fleet); err != nil {
		return err
	}
	last := r.results[len(r.results)-1]
	last.Notes = append(last.Notes, fmt.Sprintf("the new server was ready after %.2f s", ready.Seconds()))
	return nil
}

// comeBack measures until the server has all streams and no response is under way.
func (r *runner) comeBack(ctx context.Context, name string, fleet *ads.Fleet) error {
	tapes := map[string]*ads.Tape{floor.Everyone: fleet.Record(0)}
	result, err := r.measure(ctx, name, fleet, func(result *Result) error {
		start := time.Now()
		fleet.Connect(ctx, r.server.plain)
		if err := r.streams(ctx, fleet.Len()); err != nil {
			return err
		}
		all := time.Since(start)
		if err := r.quiet(ctx, fleet, time.Second); err != nil {
			return err
		}
		sync := max(all, fleet.LastActive().Sub(start))
		result.Last = quantiles([]time.Duration{sync})
		return nil
	})
	if err != nil {
		return err
	}
	fleet.Stop(0)
	for class, tape := range tapes {
		r.replies.Warm[class] = byKind(tape.Frames())
	}
	r.warm = append(r.warm, result)
	return nil
}
