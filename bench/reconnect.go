package bench

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
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

// comeBack measures until all clients are served. Nothing is due to them, and a server that is silent
// may be busy or done, so there is a proof. When all streams are open an endpoint changes, in each
// namespace where the mesh is scoped, and all have to acknowledge that.
func (r *runner) comeBack(ctx context.Context, name string, fleet *ads.Fleet) (*Result, error) {
	tapes := r.record(fleet)
	var proofs []string
	result, err := r.measure(ctx, name, fleet, func(result *Result) error {
		start := time.Now()
		if err := fleet.Connect(context.WithoutCancel(ctx), r.address()); err != nil {
			return err
		}
		if err := wait(ctx, "clients that ask", glance, fleet.Len(), fleet.Asking); err != nil {
			return err
		}
		if err := r.streams(ctx, fleet.Len()); err != nil {
			return err
		}
		var delays []time.Duration
		var err error
		delays, proofs, err = r.prove(ctx, fleet, start)
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
	result.Due, result.Resent = r.proof(frames, proofs, result.Messages)
	r.starts = append(r.starts, start{result: result, warm: frames})
	return result, nil
}

// probes are changes that together reach every client.
func (r *runner) probes() []change {
	if !r.Mesh.Scoped || r.gateways() {
		return []change{r.endpoint("")}
	}
	var out []change
	for n, ns := range r.namespaces(func(string) bool { return true }) {
		c := r.endpointOf(r.mesh.Probe(n))
		c.concerned = func(of string) bool { return of == ns }
		out = append(out, c)
	}
	return out
}

// prove makes the changes and gives the times from start until each client has acknowledged, and
// the resources that were changed.
func (r *runner) prove(ctx context.Context, fleet *ads.Fleet, start time.Time) ([]time.Duration, []string, error) {
	defer fleet.Unwatch()
	var marks []*ads.Mark
	var resources []string
	for _, c := range r.probes() {
		edit, resource := c.edit()
		resources = append(resources, resource)
		marks = append(marks, fleet.Watch(c.kind, resource, r.concerned(c.concerned)))
		if _, err := r.apply(ctx, edit); err != nil {
			return nil, nil, err
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
	return delays, resources, ctx.Err()
}

// proof gives the bytes, for each client, of the responses that carry load assignments of one service
// that was changed (it has further ones for subsets) and nothing else. It counts all other messages,
// which nobody needed.
func (r *runner) proof(frames map[string][]ads.Frame, changed []string, messages int64) (due float64, others int64) {
	others = messages
	hosts := map[string]bool{}
	for _, cluster := range changed {
		hosts[hostOf(cluster)] = true
	}
	proves := func(f *ads.Frame) bool {
		return f.Kind == ads.Endpoints && len(f.Names) > 0 && hosts[hostOf(f.Names[0])] &&
			!slices.ContainsFunc(f.Names, func(name string) bool { return hostOf(name) != hostOf(f.Names[0]) })
	}
	for class, list := range frames {
		clients := r.concerned(func(ns string) bool { return class == everyone || class == ns })
		for i := range list {
			if proves(&list[i]) {
				due += float64(len(list[i].Bytes) * clients)
				others -= int64(clients)
			}
		}
	}
	return due / float64(r.Clients), others
}

// hostOf gives the host in the name of a cluster: direction|port|subset|host.
func hostOf(cluster string) string { return cluster[strings.LastIndexByte(cluster, '|')+1:] }
