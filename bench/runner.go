package bench

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/apiserver"
	"github.com/pilothouse-mesh/pilothouse/bench/floor"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// runner runs one series.
type runner struct {
	Options
	mesh       *mesh.Mesh
	cluster    *apiserver.Mesh // where the mesh is in an API server; nil for files
	population map[string]int  // of the Clients, by namespace
	server     *server
	fleet      *ads.Fleet // of Clients, connected from the first scenario that needs it
	results    []*Result
	identities map[identity]*tls.Certificate // of the clients, where the series is over TLS

	// What the floor has to do: answer first requests, and for each of these results its part.
	replies floor.Replies
	plays   []play
	starts  []start
}

// Run measures one series. A scenario that fails is told in the series, which goes on; with an
// error comes what was measured until then.
func Run(ctx context.Context, o Options) (*Measured, error) {
	r := &runner{Options: o, identities: map[identity]*tls.Certificate{}, replies: floor.Replies{Namespaced: o.namespaced(), By: map[floor.Class]map[ads.Kind][][]byte{}}}
	defer r.cleanCluster(ctx)
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	defer func() {
		r.startOver()
		r.server.stop(false)
	}()
	out := &Measured{Options: o, Date: time.Now()}
	for _, s := range r.scenarios() {
		if !r.runs(s.name) && s.name != scenarioLoad {
			continue
		}
		err := r.scenario(ctx, s)
		out.Results = r.results
		if err == nil {
			continue
		}
		o.Log.Error("scenario failed", "series", o.Name, "name", s.name, "error", err)
		out.Errors = append(out.Errors, fmt.Sprintf("%s: %v", s.name, err))
		if ctx.Err() != nil || s.name == scenarioLoad {
			return out, err
		}
		r.startOver()
	}
	r.startOver()
	r.server.stop(false)
	for _, err := range r.measureFloor(ctx) {
		out.Errors = append(out.Errors, fmt.Sprintf("floor: %v", err))
	}
	return out, ctx.Err()
}

// scenario runs one, on a server that is started again where the one before has ended it. It does
// not wait for clients of a server that has ended.
func (r *runner) scenario(ctx context.Context, s scenario) error {
	r.Log.Info("scenario", "series", r.Name, "name", s.name)
	if s.name == scenarioLoad {
		return s.run(ctx)
	}
	if r.server.ended() {
		r.startOver()
		r.server.stop(true)
		if err := r.server.start(ctx); err != nil {
			return err
		}
	}
	if s.name == scenarioRestart { // it ends the server itself
		return s.run(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	server := r.server.Process
	var watching sync.WaitGroup
	defer watching.Wait()
	defer cancel(nil)
	watching.Go(func() {
		select {
		case <-server.Exited():
			cancel(fmt.Errorf("the server has ended: %s: %s", server.Fate(), r.server.tail()))
		case <-ctx.Done():
		}
	})
	err := s.run(ctx)
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// startOver lets the shared fleet go; the next scenario connects a new one.
func (r *runner) startOver() {
	if r.fleet != nil {
		r.fleet.Disconnect()
		r.fleet = nil
	}
}

func (r *runner) prepare(ctx context.Context) error {
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
	}
	var err error
	if r.mesh, err = mesh.New(r.Mesh, filepath.Join(r.Dir, "mesh")); err != nil {
		return err
	}
	if err := r.write(ctx); err != nil {
		return err
	}
	r.population = map[string]int{}
	for i := range r.Clients {
		r.population[r.workload(i).Namespace]++
	}
	r.server, err = newServer(r.Server, r.Dir, r.from()...)
	return err
}

// newFleet makes a fleet of the first clients.
func (r *runner) newFleet(n int) (*ads.Fleet, error) {
	list, err := r.nodes(n)
	if err != nil {
		return nil, err
	}
	return r.fleetOfNodes(list)
}

// address is where the clients of the series connect.
func (r *runner) address() string {
	if r.Secure {
		return r.server.secure
	}
	return r.server.plain
}

// connected gives the fleet that most scenarios share, in sync.
func (r *runner) connected(ctx context.Context) (*ads.Fleet, error) {
	if r.fleet != nil {
		return r.fleet, nil
	}
	fleet, err := r.newFleet(r.Clients)
	if err != nil {
		return nil, err
	}
	r.fleet = fleet
	if err := connect(ctx, fleet, r.address()); err != nil {
		return nil, err
	}
	return fleet, quiet(ctx, fleet, time.Second)
}

// patience is how long a scenario waits for all clients.
const patience = 120 * time.Second

// Intervals at which to look, of what costs nothing and of what is asked of the server.
const glance, inquiry = 5 * time.Millisecond, 50 * time.Millisecond

// connect lets all clients of a fleet connect and waits until they have everything. They stay
// connected when ctx ends, which a scenario's does at its end.
func connect(ctx context.Context, f *ads.Fleet, address string) error {
	if err := f.Connect(context.WithoutCancel(ctx), address); err != nil {
		return err
	}
	return wait(ctx, "clients in sync", glance, f.Len(), f.InSync)
}

// streams waits until the server has so many.
func (r *runner) streams(ctx context.Context, n int) error {
	return wait(ctx, "streams of the server", inquiry, n, func() int {
		s, err := r.server.sample(ctx)
		if err != nil {
			return -1
		}
		return int(s.streams)
	})
}

// wait polls until count is n.
func wait(ctx context.Context, what string, every time.Duration, n int, count func() int) error {
	start := time.Now()
	for {
		got := count()
		if got == n {
			return nil
		}
		if time.Since(start) > patience {
			return fmt.Errorf("%s: %d of %d after %v", what, got, n, patience)
		}
		if err := sleep(ctx, every); err != nil {
			return fmt.Errorf("%s: %d of %d: %w", what, got, n, err)
		}
	}
}

// quiet waits until no client has acknowledged anything for a time.
func quiet(ctx context.Context, f *ads.Fleet, rest time.Duration) error {
	deadline := time.Now().Add(patience)
	for from := time.Now(); ; {
		last := f.LastActive()
		if last.Before(from) {
			last = from
		}
		left := rest - time.Since(last)
		if left <= 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the clients are not at rest after %v", patience)
		}
		if err := sleep(ctx, left); err != nil {
			return err
		}
	}
}

func sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// measure takes what the server uses and the clients get while f runs, and adds it to the results.
func (r *runner) measure(ctx context.Context, name string, fleet *ads.Fleet, f func(*Result) error) (*Result, error) {
	result, err := r.take(ctx, name, fleet, f)
	if err == nil {
		r.results = append(r.results, result)
	}
	return result, err
}

func (r *runner) take(ctx context.Context, name string, fleet *ads.Fleet, f func(*Result) error) (*Result, error) {
	result := &Result{Name: name, Clients: fleet.Len()}
	before, err := r.server.sample(ctx)
	if err != nil {
		return nil, err
	}
	profiles, err := r.profile(ctx, name)
	if err != nil {
		return nil, err
	}
	stats := fleet.Stats()
	watch, err := startWatch(r.server.Process)
	if err == nil {
		err = f(result)
	}
	if err == nil {
		err = watch.stop(result)
	}
	got := fleet.Stats()
	if err = errors.Join(err, profiles()); err != nil {
		return nil, err
	}
	n := float64(fleet.Len())
	result.Down, result.Up = float64(got.Down-stats.Down)/n, float64(got.Up-stats.Up)/n
	result.Messages, result.Broken = got.Messages-stats.Messages, got.Broken-stats.Broken
	after, err := r.server.sample(ctx)
	if err != nil {
		return nil, err
	}
	result.Allocs, result.AllocBytes = after.allocs-before.allocs, after.allocBytes-before.allocBytes
	result.Views, result.Rebuilt = after.views, after.rebuilt-before.rebuilt
	result.Inside = 1000 * per(after.converged.sum-before.converged.sum, after.converged.count-before.converged.count)
	memory, err := r.server.Memory()
	if err != nil {
		return nil, err
	}
	result.PeakRSS, result.PeakCgroup = float64(memory.PeakRSS), float64(memory.PeakCgroup)
	r.noteWrites(result)
	return result, nil
}
