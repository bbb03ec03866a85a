package bench

import (
	"context"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

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
	_, err = r.comeBack(ctx, scenarioReconnect, fleet)
	return err
}

// restart kills the server and lets the clients come back to a new one.
func (r *runner) restart(ctx context.Context) error {
	fleet, err := r.connected(ctx)
	if err != nil {
		return err
	}
	fleet.Disconnect()
	r.server.stop(true)
	if err := r.server.start(ctx); err != nil {
		return err
	}
	result, err := r.comeBack(ctx, scenarioRestart, fleet)
	if err == nil {
		result.Ready = r.server.ready.Seconds()
	}
	return err
}

// comeBack measures until all clients are served. Nothing is due to them, and a server that is
// silent may be busy or done; so there is a proof: when all streams are open an endpoint changes,
// in each namespace where the mesh is scoped, and all have to acknowledge that.
func (r *runner) comeBack(ctx context.Context, name string, fleet *ads.Fleet) (*Result, error) {
	tapes := r.record(fleet)
	probes := r.probes()
	result, err := r.measure(ctx, name, fleet, func(result *Result) error {
		start := time.Now()
		if err := fleet.Connect(context.WithoutCancel(ctx), r.server.plain); err != nil {
			return err
		}
		if err := wait(ctx, "clients that ask", glance, fleet.Len(), fleet.Asking); err != nil {
			return err
		}
		if err := r.streams(ctx, fleet.Len()); err != nil {
			return err
		}
		delays, err := r.prove(ctx, fleet, probes, start)
		if err != nil {
			return err
		}
		result.Concerned, result.Missing = fleet.Len(), fleet.Len()-len(delays)
		result.Last = quantiles(delays[max(0, len(delays)-1):])
		result.Each = quantiles(delays)
		return quiet(ctx, fleet, time.Second)
	})
	frames := tapes.stop()
	if err != nil {
		return nil, err
	}
	result.State, _ = r.state()
	result.Due = r.proofBytes(frames, probes)
	r.starts = append(r.starts, start{result: result, warm: frames})
	return result, nil
}

// probes are changes that together reach every client, by class.
func (r *runner) probes() map[string]change {
	if !r.Mesh.Scoped {
		return map[string]change{everyone: r.endpoint("")}
	}
	out := map[string]change{}
	for n, ns := range r.namespaces(func(string) bool { return true }) {
		c, service := r.endpoint(""), r.mesh.Probe(n)
		c.resource = r.mesh.Cluster(service)
		c.edit = func() mesh.Edit { return r.mesh.Endpoint(service, r.Mesh.Endpoints-1) }
		c.concerned = func(of string) bool { return of == ns }
		out[ns] = c
	}
	return out
}

// prove makes the changes and gives the times from start until each client has acknowledged.
func (r *runner) prove(ctx context.Context, fleet *ads.Fleet, probes map[string]change, start time.Time) ([]time.Duration, error) {
	defer fleet.Unwatch()
	var marks []*ads.Mark
	for _, c := range probes {
		marks = append(marks, fleet.Watch(c.kind, c.resource, r.concerned(c.concerned)))
	}
	for _, c := range probes {
		if _, err := c.edit().Apply(); err != nil {
			return nil, err
		}
	}
	deadline, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var delays []time.Duration
	for _, m := range marks {
		select {
		case <-deadline.Done():
		case <-m.Reached():
		}
		delays = append(delays, m.Delays(start)...)
	}
	slices.Sort(delays)
	return delays, ctx.Err()
}

// proofBytes are those of the responses that carry a probe and nothing else, for each client.
func (r *runner) proofBytes(frames map[string][]ads.Frame, probes map[string]change) float64 {
	n := 0
	for class, list := range frames {
		for _, f := range list {
			if f.Kind == ads.Endpoints && slices.Equal(f.Names, []string{probes[class].resource}) {
				n += len(f.Bytes) * r.concerned(probes[class].concerned)
			}
		}
	}
	return float64(n) / float64(r.Clients)
}
