package push

import (
	"context"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// driver brings commits of a store into an engine.
type driver struct {
	t        testing.TB
	engine   *Engine
	pipeline *Pipeline
	computed int
	problems []model.Problem
}

func newDriver(t testing.TB) *driver {
	d := &driver{t: t, pipeline: NewPipeline()}
	d.engine = New(Options{Report: func(p []model.Problem) { d.problems = p }})
	return d
}

func (d *driver) apply(commits ...store.Commit) {
	d.t.Helper()
	for _, c := range commits {
		out := d.pipeline.Commit(c)
		out.Translator = counting{out.Translator.(step), d}
		if err := d.engine.Apply(d.t.Context(), out); err != nil {
			d.t.Fatal(err)
		}
	}
}

// counting adds up the units that are computed.
type counting struct {
	step
	*driver
}

func (c counting) Advance(ctx context.Context, live []*resolve.Class) (Work, error) {
	w, err := c.step.Advance(ctx, live)
	c.computed += w.Computed
	return w, err
}

// viewer is a client that counts what it is told after its first view.
type viewer struct {
	*Client
	news int
}

// join connects a proxy.
func join(t testing.TB, e *Engine, n *Node) *viewer {
	t.Helper()
	v := &viewer{}
	var err error
	if v.Client, err = e.Connect(n, func(*Update) { v.news++ }); err != nil {
		t.Fatal(err)
	}
	v.news = 0
	return v
}

// told tells whether there was news since it was last asked.
func (v *viewer) told() bool {
	news := v.news
	v.news = 0
	return news > 0
}

// now is the view that the engine last gave to the proxy.
func (v *viewer) now() *View {
	v.engine.mu.Lock()
	defer v.engine.mu.Unlock()
	return v.view
}
