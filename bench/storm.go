package bench

import (
	"context"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// step is one of many changes that come at a fixed rate, whether or not the former has arrived.
type step struct {
	edit    mesh.Edit
	service int // whose load assignment shows its arrival; negative where nothing may
}

// made is a change under way.
type made struct {
	mark *ads.Mark
	at   time.Time
	want int
}

// storm makes n changes at a rate a second and waits for the last to arrive.
func (r *runner) storm(ctx context.Context, fleet *ads.Fleet, n, rate int, next func(int) step, result *Result) error {
	ticker := time.NewTicker(time.Second / time.Duration(rate))
	defer ticker.Stop()
	var all []made
	start := time.Now()
	for i := range n {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		s := next(i)
		var m made
		if s.service >= 0 {
			m.want = r.concerned(func(ns string) bool { return r.mesh.Sees(ns, s.service) })
			m.mark = fleet.Watch(ads.Endpoints, r.mesh.Cluster(s.service), m.want)
		}
		var err error
		if m.at, err = r.apply(ctx, s.edit); err != nil {
			return err
		}
		if m.mark != nil {
			all = append(all, m)
			result.Concerned = m.want
		}
	}
	result.Changes, result.Making = n, time.Since(start).Seconds()
	if err := r.settle(ctx, fleet, all); err != nil {
		return err
	}
	fleet.Unwatch()
	var last, each []time.Duration
	for _, m := range all {
		delays := m.mark.Delays(m.at)
		result.Missing += m.want - len(delays)
		if len(delays) > 0 {
			last, each = append(last, delays[len(delays)-1]), append(each, delays...)
		}
	}
	result.Last, result.Each = quantiles(last), quantiles(each)
	return nil
}

// settle waits until the last change of each resource has arrived everywhere; a server that has a
// backlog may be silent for seconds, so silence alone says nothing.
func (r *runner) settle(ctx context.Context, fleet *ads.Fleet, all []made) error {
	latest := map[string]made{}
	for _, m := range all {
		latest[m.mark.Resource()] = m
	}
	deadline := time.NewTimer(patience / 2)
	defer deadline.Stop()
wait:
	for _, m := range latest {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.mark.Reached():
		case <-deadline.C:
			break wait
		}
	}
	return quiet(ctx, fleet, time.Second)
}

// stormy measures a storm, and has the floor send the same.
func (r *runner) stormy(ctx context.Context, name string, n, rate int, next func(int) step) (*Result, error) {
	fleet, err := r.connected(ctx)
	if err != nil {
		return nil, err
	}
	tapes := r.record(fleet)
	result, err := r.measure(ctx, name, fleet, func(result *Result) error {
		return r.storm(ctx, fleet, n, rate, next, result)
	})
	frames := tapes.stop()
	if err != nil {
		return nil, err
	}
	r.plays = append(r.plays, *r.replay(result, frames, func(string) bool { return true }))
	return result, nil
}

// pod gives the pods, other than each service's first, in an order that takes another service each
// time.
func (r *runner) pod(i int) (service, ordinal int) {
	service = i % r.Mesh.Services
	return service, 1 + i/r.Mesh.Services%max(1, r.Mesh.Endpoints-1)
}

// shown gives the service whose load assignment shows a change, -1 for none.
func (r *runner) shown(service int) int {
	if r.mesh.Assigned(service) {
		return service
	}
	return -1
}

// churn changes endpoints of one service after the other.
func (r *runner) churn(ctx context.Context) error {
	_, err := r.stormy(ctx, scenarioChurn, int(r.Storm.Seconds()*float64(r.Rate)), r.Rate, func(i int) step {
		service := i % r.Mesh.Services
		return step{r.mesh.Endpoint(service, r.Mesh.Endpoints-1), r.shown(service)}
	})
	return err
}

// touch changes what concerns no proxy: no bytes may follow.
func (r *runner) touch(ctx context.Context) error {
	beside, err := r.startInformers(ctx)
	if err != nil {
		return err
	}
	defer beside.stop()
	result, err := r.stormy(ctx, scenarioTouch, int(r.Storm.Seconds()*float64(r.Rate)), r.Rate, func(i int) step {
		if i == 0 {
			beside.begin(ctx)
		}
		service, ordinal := r.pod(i % (5 * r.Rate)) // the same few again, as a chatty controller does
		return step{r.mesh.Touch(service, ordinal), -1}
	})
	if err != nil {
		return err
	}
	result.Against, err = beside.end(ctx, result)
	return err
}

// rollout replaces pods of some services at once, 50 a second; each of them ends a second after
// its successor is ready.
func (r *runner) rollout(ctx context.Context) error {
	const rate, lag, together = 50, 50, 50
	place := func(i int) (service, ordinal int) {
		replaced := max(1, r.Mesh.Endpoints-1)
		service = i%together + i/(together*replaced)*together
		return service % r.Mesh.Services, 1 + i/together%replaced
	}
	_, err := r.stormy(ctx, scenarioRollout, 2*r.Rollout, 2*rate, func(i int) step {
		if n := i/2 - lag; i%2 == 1 && n >= 0 {
			service, ordinal := place(n)
			return step{r.mesh.Ended(service, ordinal), -1}
		}
		service, ordinal := place(i / 2)
		if i%2 == 1 {
			return step{r.mesh.Touch(service, ordinal), -1}
		}
		return step{r.mesh.Replace(service, ordinal), r.shown(service)}
	})
	return err
}
