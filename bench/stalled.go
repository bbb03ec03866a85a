package bench

import (
	"context"
	"fmt"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// stallEvery: one client in so many stops reading.
const stallEvery = 10

// stalled measures endpoint changes while one client in ten does not read, in turn with all
// reading, and takes the middle one of the turns of either sort. A large response, which the
// stalled do not take, comes first in each turn.
func (r *runner) stalled(ctx context.Context) error {
	fleet, err := r.connected(ctx)
	if err != nil {
		return err
	}
	const turns = 5
	n := max(2, r.Repetitions/turns)
	var with, without []*Result
	frames := map[string][]ads.Frame{}
	for range turns {
		result, _, err := r.stallTurn(ctx, fleet, 0, n)
		if err != nil {
			return err
		}
		without = append(without, result)
		result, got, err := r.stallTurn(ctx, fleet, stallEvery, n)
		if err != nil {
			return err
		}
		with = append(with, result)
		for class, list := range got {
			frames[class] = append(frames[class], list...)
		}
	}
	result := middle(scenarioStalled, with)
	result.Against = middle(scenarioStalled, without)
	r.results = append(r.results, result)
	c := r.endpoint(scenarioStalled)
	p := r.replay(result, oneAfterTheOther(frames), c.concerned)
	p.stall = stallEvery
	for class := range frames { // to the stalled nothing arrives
		p.messages -= len(frames[class]) * (r.concerned(c.concerned) - result.Concerned)
	}
	r.plays = append(r.plays, *p)
	return nil
}

// oneAfterTheOther gives the frames of several tapes times as of one.
func oneAfterTheOther(frames map[string][]ads.Frame) map[string][]ads.Frame {
	for _, list := range frames {
		for i := range list {
			list[i].After = time.Duration(i) * gap
		}
	}
	return frames
}

// stallTurn measures a few changes.
func (r *runner) stallTurn(ctx context.Context, fleet *ads.Fleet, stall, n int) (*Result, map[string][]ads.Frame, error) {
	fleet.Stall(stall)
	defer fleet.Stall(0)
	all := r.route("", mesh.ReachAll)
	edit, resource := all.edit()
	large := fleet.Watch(all.kind, resource, reading(fleet, &all))
	if _, err := r.apply(ctx, edit); err != nil {
		return nil, nil, err
	}
	select {
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	case <-large.Reached():
	case <-time.After(patience / 3):
		return nil, nil, fmt.Errorf("a route reached %d clients", large.Count())
	}
	if err := quiet(ctx, fleet, time.Second); err != nil {
		return nil, nil, err
	}
	tapes := r.record(fleet)
	result, err := r.take(ctx, scenarioStalled, fleet, func(result *Result) error {
		return r.repeat(ctx, fleet, n, result, r.endpoint(""))
	})
	frames := tapes.stop()
	if err != nil {
		return nil, nil, err
	}
	fleet.Stall(0)
	return result, frames, quiet(ctx, fleet, time.Second)
}

// middle gives the median of each figure that is compared; what is added up is for all turns.
func middle(name string, turns []*Result) *Result {
	of := func(get func(*Result) float64) float64 {
		var list []float64
		for _, t := range turns {
			list = append(list, get(t))
		}
		return median(list)
	}
	n := float64(len(turns))
	last := turns[len(turns)-1]
	out := &Result{
		Name: name, Clients: last.Clients, Concerned: last.Concerned, PeakRSS: last.PeakRSS, PeakCgroup: last.PeakCgroup,
		ServerCPU: n * of(func(r *Result) float64 { return r.ServerCPU }), ClientCPU: n * of(func(r *Result) float64 { return r.ClientCPU }),
		Allocs: n * of(func(r *Result) float64 { return r.Allocs }), AllocBytes: n * of(func(r *Result) float64 { return r.AllocBytes }),
		Last: middleQuantiles(turns, func(r *Result) *Quantiles { return r.Last }),
		Each: middleQuantiles(turns, func(r *Result) *Quantiles { return r.Each }),
	}
	for _, t := range turns {
		out.Changes += t.Changes
		out.Missing += t.Missing
		out.Messages += t.Messages
		out.Seconds += t.Seconds
		out.Down += t.Down
		out.Up += t.Up
	}
	return out
}

func middleQuantiles(turns []*Result, get func(*Result) *Quantiles) *Quantiles {
	var p50, p99, most []float64
	out := &Quantiles{}
	for _, t := range turns {
		if q := get(t); q != nil {
			p50, p99, most = append(p50, q.P50), append(p99, q.P99), append(most, q.Max)
			out.Count += q.Count
		}
	}
	out.P50, out.P99, out.Max = median(p50), median(p99), median(most)
	return out
}
