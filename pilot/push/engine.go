package push

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// ErrNotReady says that nothing was committed yet, so that there is nothing to serve.
var ErrNotReady = errors.New("the first configuration is not committed yet")

// Commit is a new state of the mesh.
type Commit struct {
	Translator Translator
	// Since is when the oldest event in the commit arrived.
	Since time.Time
}

// Options of an Engine.
type Options struct {
	// Report takes all problems of all views whenever they may have changed; nil drops them.
	Report func([]model.Problem)
	// Registerer takes the metrics; nil for none.
	Registerer prometheus.Registerer
	Logger     *slog.Logger // nil for none
}

// Engine owns the views and the clients.
type Engine struct {
	opts    Options
	metrics *metrics
	pools   *pools

	// state guards which state of the mesh is served: Apply takes it for writing, all that
	// translates for reading. It is taken before mu.
	state      sync.RWMutex
	translator Translator // nil before the first commit
	states     uint64     // how many translator has had

	mu        sync.Mutex // guards all below, and of groups what has been built
	groups    map[string]*group
	suspects  *suspects
	unchecked int             // views that were not compared since units were computed
	reported  []model.Problem // in order
	left      bool            // the last proxy of some class went since
}

// New gives an Engine without a state; it serves after the first Apply.
func New(opts Options) *Engine {
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Engine{
		opts: opts, metrics: newMetrics(opts.Registerer), pools: newPools(),
		groups: map[string]*group{}, suspects: newSuspects(),
	}
}

// Apply brings all views to a new state and tells the clients whose view changed.
func (e *Engine) Apply(ctx context.Context, c Commit) error {
	e.state.Lock()
	defer e.state.Unlock()
	started := time.Now()
	work, err := c.Translator.Advance(ctx, e.live())
	if err != nil {
		return err
	}
	e.translator = c.Translator
	e.states++
	e.mu.Lock()
	defer e.mu.Unlock()
	e.reclassify()
	if err := e.refresh(ctx); err != nil {
		return err
	}
	renewed, told := 0, 0
	for _, g := range e.groups {
		if n := g.publish(c.Since); n > 0 {
			renewed++
			told += n
		}
	}
	if work.Computed > 0 {
		e.unchecked = len(e.groups)
	}
	e.report()
	e.metrics.applied(work, len(e.groups), renewed, told, time.Since(started))
	return nil
}

// live drops the groups without clients and gives the classes of the others.
func (e *Engine) live() []*resolve.Class {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := make([]*resolve.Class, 0, len(e.groups))
	for key, g := range e.groups {
		if len(g.clients) == 0 {
			delete(e.groups, key)
			continue
		}
		out = append(out, &g.class)
	}
	return out
}

// refresh brings all groups up to the translator's state.
func (e *Engine) refresh(ctx context.Context) error {
	return inParallel(ctx, slices.Collect(maps.Values(e.groups)), func(g *group) {
		g.settle()
		if g.built {
			g.refresh(e.translator, e.pools)
			return
		}
		g.build.Do(func() { g.rebuild(e.translator, e.pools) })
		g.built = true
	})
}

// reclassify moves the clients whose class is another one now. Groups that it makes have no view.
func (e *Engine) reclassify() {
	for _, g := range slices.Collect(maps.Values(e.groups)) {
		for client := range g.clients {
			if !e.translator.Moved(&client.node.Proxy) {
				continue
			}
			class := e.translator.Classify(&client.node.Proxy)
			if class.Key == g.class.Key {
				continue
			}
			delete(g.clients, client)
			to := e.group(class)
			to.inherit(g)
			to.clients[client] = struct{}{}
			client.group = to
		}
		if len(g.clients) == 0 {
			delete(e.groups, g.class.Key)
		}
	}
}

// group gives the group of a class, a new one if there is none. The caller holds the mutex.
func (e *Engine) group(class resolve.Class) *group {
	g := e.groups[class.Key]
	if g == nil {
		g = newGroup(class, e.pools.empty)
		e.groups[class.Key] = g
	}
	return g
}

// Connect registers a proxy. Its view is built if it is the first of its class, beside the views of
// other classes. changed is called with that view before Connect returns, and then with each later
// one, in their order. It is called under the engine's mutex: it must not wait, and not call the
// engine or a client.
func (e *Engine) Connect(n *Node, changed func(*Update)) (*Client, error) {
	e.state.RLock()
	defer e.state.RUnlock()
	if e.translator == nil {
		return nil, ErrNotReady
	}
	class := e.translator.Classify(&n.Proxy)
	e.mu.Lock()
	g := e.group(class) // which stays, since Apply waits
	e.mu.Unlock()
	g.build.Do(func() { g.rebuild(e.translator, e.pools) })
	e.mu.Lock()
	defer e.mu.Unlock()
	g.built = true
	c := &Client{engine: e, node: n, group: g, changed: changed}
	c.suspicion = e.suspects.take(n.ID)
	c.offer(g.view, time.Time{})
	g.clients[c] = struct{}{}
	if len(g.clients) == 1 {
		e.metrics.views.Set(float64(len(e.groups)))
		e.reportNew(g)
	}
	return c, nil
}

// Ready tells whether a first commit was applied.
func (e *Engine) Ready() bool {
	e.state.RLock()
	defer e.state.RUnlock()
	return e.translator != nil
}

// Views lists the present views by class, for debugging.
func (e *Engine) Views() []*View {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []*View
	for _, g := range e.groups {
		if g.built {
			out = append(out, g.view)
		}
	}
	slices.SortFunc(out, func(a, b *View) int { return strings.Compare(a.Class, b.Class) })
	return out
}

// report hands over the problems of all views, each once. The caller holds the mutex.
func (e *Engine) report() {
	if e.opts.Report == nil {
		return
	}
	var all []model.Problem
	seen := map[*model.Problem]struct{}{} // first of a list that several groups share
	for _, g := range e.groups {
		if len(g.clients) == 0 {
			continue
		}
		all = append(all, g.problems()...)
		if len(g.shared) == 0 {
			continue
		}
		if _, ok := seen[&g.shared[0]]; !ok {
			seen[&g.shared[0]] = struct{}{}
			all = append(all, g.shared...)
		}
	}
	slices.SortFunc(all, model.CompareProblems)
	e.reported, e.left = slices.Compact(all), false
	e.opts.Report(e.reported)
}

// reportNew does so where a group with its first client has a problem that was not reported yet.
func (e *Engine) reportNew(g *group) {
	for _, p := range slices.Concat(g.problems(), g.shared) {
		at, found := slices.BinarySearchFunc(e.reported, p, model.CompareProblems)
		if !found || e.reported[at] != p {
			e.report()
			return
		}
	}
}

// publish hands the group's view to those of its clients who have another, and gives their number.
func (g *group) publish(since time.Time) int {
	told := 0
	for c := range g.clients {
		if c.offer(g.view, since) {
			told++
		}
	}
	return told
}
