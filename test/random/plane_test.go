package random

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

const source = "test"

// Times of the server under test and of its clients.
const (
	warmingTimeout = 3 * time.Second
	removalGrace   = 8 * time.Second
	ackTimeout     = 60 * time.Second
	drainTime      = 10 * time.Second // of the clients
)

// plane is a control plane in memory: store, views and server; it can be restarted.
type plane struct {
	t       *testing.T
	objects map[model.Key]*model.Object
	read    *contents

	store  *store.Store
	engine *push.Engine
	server *xds.Server
	cancel context.CancelFunc
	work   sync.WaitGroup

	boots   int // how often it started
	metrics *prometheus.Registry

	mu       sync.Mutex
	epochs   []*epoch // all states of the mesh that were ever served, over restarts
	problems map[string][]model.Problem
}

// epoch is one state of the mesh.
type epoch struct {
	read     *contents
	snapshot *store.Snapshot
	mu       sync.Mutex
	views    map[*push.Node]*view
}

// view is what a proxy should have, by type and name.
type view [xdsres.NumTypes]map[string]*content

func (p *plane) start(rng *rand.Rand) {
	var ctx context.Context
	ctx, p.cancel = context.WithCancel(context.Background())
	p.boots++
	p.problems = map[string][]model.Problem{}
	p.store = store.New(store.Options{
		Domain: "cluster.local", Sources: []store.SourceOptions{{Name: source}}, Report: p.report,
	})
	p.metrics = prometheus.NewRegistry()
	p.engine = push.New(push.Options{
		Report: func(all []model.Problem) { p.report("push", all) }, Logger: slog.New(faults{p.t}), Registerer: p.metrics,
	})
	p.server = xds.New(xds.Options{
		Source: p.engine, Logger: slog.New(slog.DiscardHandler),
		AckTimeout: ackTimeout, WarmingTimeout: warmingTimeout, RemovalGrace: removalGrace,
	})
	p.work.Go(func() { _ = p.store.Run(ctx) })
	p.work.Go(func() { p.pump(ctx) })
	p.work.Go(func() { _ = p.engine.Run(ctx) })
	keys := slices.SortedFunc(maps.Keys(p.objects), model.Key.Compare)
	rng.Shuffle(len(keys), func(i, j int) { keys[i], keys[j] = keys[j], keys[i] })
	var events []model.Event
	for _, k := range keys {
		events = append(events, model.Event{Key: k, New: p.objects[k]})
	}
	p.store.Apply(source, events, nil)
	p.store.Synced(source)
}

// faults lets a test fail by what the engine logs as an error, since it heals what it finds wrong.
type faults struct{ t *testing.T }

func (f faults) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelError }

func (f faults) Handle(_ context.Context, r slog.Record) error {
	r.Attrs(func(a slog.Attr) bool {
		r.Message += " " + a.String()
		return true
	})
	f.t.Error(r.Message)
	return nil
}

func (f faults) WithAttrs([]slog.Attr) slog.Handler { return f }

func (f faults) WithGroup(string) slog.Handler { return f }

func (p *plane) stop() {
	p.cancel()
	p.work.Wait()
}

func (p *plane) report(stage string, all []model.Problem) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.problems[stage] = all
}

// reported are the present problems of a stage.
func (p *plane) reported(stage string) []model.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.problems[stage]
}

// pump brings commits into the views, as the product does.
func (p *plane) pump(ctx context.Context) {
	builder := build.New(build.Options{})
	for {
		select {
		case <-ctx.Done():
			return
		case c := <-p.store.Commits():
			p.mu.Lock()
			p.epochs = append(p.epochs, &epoch{read: p.read, snapshot: c.Snapshot, views: map[*push.Node]*view{}})
			p.mu.Unlock()
			if err := p.engine.Apply(ctx, push.Built(builder, c)); err != nil && ctx.Err() == nil {
				p.t.Errorf("apply: %v", err)
			}
		}
	}
}

// latest is the number of the present epoch.
func (p *plane) latest() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.epochs) - 1
}

func (p *plane) epoch(i int) *epoch {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.epochs[i]
}

// fresh is the mesh as a new process would see it.
func (p *plane) fresh() *epoch {
	s := store.FromObjects(slices.Collect(maps.Values(p.objects)), store.Options{Domain: "cluster.local"})
	return &epoch{read: p.read, snapshot: s, views: map[*push.Node]*view{}}
}

// put changes the mesh.
func (p *plane) put(objects ...*model.Object) {
	var events []model.Event
	for _, o := range objects {
		events = append(events, model.Event{Key: o.Key, Old: p.objects[o.Key], New: o})
		p.objects[o.Key] = o
	}
	p.store.Apply(source, events, nil)
}

func (p *plane) remove(keys ...model.Key) {
	var events []model.Event
	for _, k := range keys {
		events = append(events, model.Event{Key: k, Old: p.objects[k]})
		delete(p.objects, k)
	}
	p.store.Apply(source, events, nil)
}

var typeOf = map[string]xdsres.Type{
	"clusters": xdsres.Clusters, "endpoints": xdsres.Endpoints, "listeners": xdsres.Listeners,
	"routes": xdsres.Routes, "nametable": xdsres.NameTables,
}

// view computes from scratch what a proxy should have, with nothing that proxies share.
func (e *epoch) view(n *push.Node) (*view, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if v := e.views[n]; v != nil {
		return v, nil
	}
	v := &view{}
	for t := range v {
		v[t] = map[string]*content{}
	}
	for name, resources := range translate.Scratch(e.snapshot, &n.Proxy).ByType {
		t := typeOf[name]
		for _, r := range resources {
			if err := translate.Validate(r.Body); err != nil {
				return nil, fmt.Errorf("%s %s: %w", t, r.Name, err)
			}
			c, err := read(r.Body)
			if err != nil {
				return nil, err
			}
			if v[t][r.Name] != nil {
				return nil, fmt.Errorf("%s %s: there are two of this name", t, r.Name)
			}
			v[t][r.Name] = c
		}
	}
	e.views[n] = v
	return v, nil
}
