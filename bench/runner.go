package bench

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
	"github.com/pilothouse-mesh/pilothouse/bench/floor"
	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// runner runs one series.
type runner struct {
	Options
	mesh    *mesh.Mesh
	server  *server
	issuer  *issuer
	fleet   *ads.Fleet // of Clients, connected from the first scenario that needs it
	results []*Result

	replies floor.Replies
	plays   []play
	warm    []*Result // of clients that came back
}

// play is what the floor has to send for a result.
type play struct {
	result *Result
	floor.Play
	clients int // that it concerns
}

// Run measures one series. A scenario that fails is told in the series, which goes on; with an
// error comes what was measured until then.
func Run(ctx context.Context, o Options) (*Series, error) {
	r := &runner{Options: o, replies: floor.Replies{
		Namespaced: o.Mesh.Scoped, Cold: map[string]map[ads.Kind][][]byte{}, Warm: map[string]map[ads.Kind][][]byte{},
	}}
	if err := r.prepare(); err != nil {
		return nil, err
	}
	defer func() {
		r.startOver()
		if r.server.Process != nil {
			r.server.Stop(false)
		}
	}()
	series := &Series{Options: o}
	for _, s := range r.scenarios() {
		if !r.runs(s.name) && s.name != scenarioLoad {
			continue
		}
		o.Log.Info("scenario", "series", o.Name, "name", s.name)
		err := s.run(ctx)
		series.Results = r.results
		if err == nil {
			continue
		}
		series.Errors = append(series.Errors, fmt.Sprintf("%s: %v", s.name, err))
		if ctx.Err() != nil || s.name == scenarioLoad {
			return series, err
		}
		r.startOver()
	}
	r.startOver()
	r.server.Stop(false)
	if err := r.measureFloor(ctx); err != nil {
		return series, fmt.Errorf("floor: %w", err)
	}
	return series, nil
}

// startOver lets the shared fleet go; the next scenario connects a new one.
func (r *runner) startOver() {
	if r.fleet != nil {
		r.fleet.Disconnect()
		r.fleet = nil
	}
}

func (r *runner) prepare() error {
	if err := os.MkdirAll(r.Dir, 0o755); err != nil {
		return err
	}
	var err error
	if r.mesh, err = mesh.New(r.Mesh, filepath.Join(r.Dir, "mesh")); err != nil {
		return err
	}
	if err := r.mesh.Write(); err != nil {
		return err
	}
	jwks := filepath.Join(r.Dir, "jwks.json")
	if r.issuer, err = newIssuer(jwks); err != nil {
		return err
	}
	r.server, err = newServer(r.Server, r.Dir, r.mesh.Dirs(), jwks)
	return err
}

// connected gives the fleet that most scenarios share, in sync.
func (r *runner) connected(ctx context.Context) (*ads.Fleet, error) {
	if r.fleet != nil {
		return r.fleet, nil
	}
	r.fleet = ads.New(ads.Options{Nodes: nodes(r.mesh, r.Clients), Logger: r.Log})
	r.fleet.Connect(ctx, r.server.plain)
	if err := r.synced(ctx, r.fleet); err != nil {
		return nil, err
	}
	return r.fleet, r.quiet(ctx, r.fleet, time.Second)
}

// secure gives TLS and tokens to a fleet's nodes.
func (r *runner) secure(ns []ads.Node) (*tls.Config, error) {
	root, err := os.ReadFile(filepath.Join(r.server.caDir, "root-cert.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(root) {
		return nil, fmt.Errorf("the server's root certificate cannot be read")
	}
	for i := range ns {
		account := ns[i].Envoy.GetMetadata().GetFields()["SERVICE_ACCOUNT"].GetStringValue()
		if ns[i].Token, err = r.issuer.token(ns[i].Namespace, account); err != nil {
			return nil, err
		}
	}
	return &tls.Config{RootCAs: pool, ServerName: "istiod.istio-system.svc", MinVersion: tls.VersionTLS13}, nil
}

// patience is how long a scenario waits for all clients.
const patience = 60 * time.Second

// synced waits until all clients of a fleet have everything.
func (r *runner) synced(ctx context.Context, f *ads.Fleet) error {
	return wait(ctx, "clients in sync", f.Len(), func() int { return len(f.Synced(time.Time{})) })
}

// wait polls until count is n.
func wait(ctx context.Context, what string, n int, count func() int) error {
	start := time.Now()
	for {
		got := count()
		if got == n {
			return nil
		}
		if time.Since(start) > patience {
			return fmt.Errorf("%s: %d of %d after %v", what, got, n, patience)
		}
		if err := sleep(ctx, 5*time.Millisecond); err != nil {
			return fmt.Errorf("%s: %d of %d: %w", what, got, n, err)
		}
	}
}

// quiet waits until no client has acknowledged anything for a time.
func (r *runner) quiet(ctx context.Context, f *ads.Fleet, rest time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for from := time.Now(); ; {
		last := f.LastActive()
		if last.Before(from) {
			last = from
		}
		left := rest - time.Since(last)
		if left <= 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the clients are not at rest after %v", patience)
		case <-time.After(left):
		}
	}
}

// measure takes what the server uses and the clients get while f runs.
func (r *runner) measure(ctx context.Context, name string, fleet *ads.Fleet, f func(*Result) error) (*Result, error) {
	result := &Result{Name: name, Clients: fleet.Len()}
	before, err := r.server.sample(ctx)
	if err != nil {
		return nil, err
	}
	profiled := r.profile(ctx, name)
	stats, start := fleet.Stats(), time.Now()
	cpu, err := r.server.CPU()
	if err != nil {
		return nil, err
	}
	if err := f(result); err != nil {
		return nil, err
	}
	used, err := r.server.CPU()
	if err != nil {
		return nil, err
	}
	result.Seconds, result.ServerCPU = time.Since(start).Seconds(), (used - cpu).Seconds()
	got := fleet.Stats()
	result.Down = float64(got.Down-stats.Down) / float64(fleet.Len())
	result.Up = float64(got.Up-stats.Up) / float64(fleet.Len())
	result.Messages = got.Messages - stats.Messages
	if err := <-profiled; err != nil {
		return nil, err
	}
	after, err := r.server.sample(ctx)
	if err != nil {
		return nil, err
	}
	result.Allocs, result.AllocBytes = after.allocs-before.allocs, after.allocBytes-before.allocBytes
	result.Views, result.Rebuilt = after.views, after.rebuilt-before.rebuilt
	if n := after.converged.count - before.converged.count; n > 0 {
		result.Inside = (after.converged.sum - before.converged.sum) / n * 1000
	}
	memory, err := r.server.Memory()
	if err != nil {
		return nil, err
	}
	result.PeakRSS, result.PeakCgroup = float64(memory.PeakRSS), float64(memory.PeakCgroup)
	r.results = append(r.results, result)
	return result, nil
}

// profile fetches the server's CPU profile while the scenario runs, if it is the one to profile.
func (r *runner) profile(ctx context.Context, scenario string) <-chan error {
	done := make(chan error, 1)
	if r.Profile == "" || r.ProfileScenario != scenario {
		done <- nil
		return done
	}
	go func() {
		done <- r.server.save(ctx, fmt.Sprintf("/debug/pprof/profile?seconds=%d", int(r.ProfileTime.Seconds())), r.Profile)
	}()
	return done
}
