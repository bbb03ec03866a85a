package push

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// CheckEvery is how often Run compares a view with one that is built from scratch at most, as long as there
// are views that were not compared since units were computed.
const CheckEvery = time.Minute

// checkRest is how many times as long as a comparison took there is none after it: it costs at most a two-thousandth of
// a processor, however large the mesh is, and nothing in one at rest.
const checkRest = 2000

// StallAfter is how long a round of Run may take before the engine counts as one that stands still. The round needs
// each mutex of the engine once; a commit holds them for well under a second in a mesh of 10,000 services.
const StallAfter = 3 * time.Minute

// Run compares one view after another with one that is built from scratch until ctx ends. A
// difference is a fault of this program: it is logged, counted, and healed. A round that does not come to its end is
// told to Options.Stalled.
func (e *Engine) Run(ctx context.Context) error {
	every := time.NewTicker(CheckEvery)
	defer every.Stop()
	last, due := "", time.Time{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			e.bounded(StallAfter, func() {
				e.settle()
				began := time.Now()
				if began.Before(due) {
					return
				}
				last = e.check(last)
				due = time.Now().Add(checkRest * time.Since(began))
			})
		}
	}
}

// bounded calls Options.Stalled if a round takes longer than it may.
func (e *Engine) bounded(limit time.Duration, round func()) {
	if e.opts.Stalled != nil {
		defer time.AfterFunc(limit, e.opts.Stalled).Stop()
	}
	round()
}

// settle lets go of former versions of what is accepted by now, and of the problems of classes whose
// last proxy went. Most are back at once, for which their problems are not to come and go.
func (e *Engine) settle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.classes {
		if g.built {
			g.settle()
		}
	}
	if e.left {
		e.report()
	}
}

// check compares the view of the class after the given one, by key, and gives its key.
func (e *Engine) check(after string) string {
	was, g := e.sample(after)
	if g == nil {
		return after
	}
	want := was.scratch()
	e.metrics.checked.Inc()
	difference := compare(was.base, want.Sets)
	if difference == "" {
		return g.class.Key
	}
	e.metrics.different.Inc()
	e.opts.Logger.Error("a view differs from one built from scratch, and is replaced; please report this",
		"class", g.class.Key, "type", g.class.Type, "namespace", g.class.Namespace, "difference", difference)
	e.heal(g, was.state)
	return g.class.Key
}

// sample is what a view is made of, and how to make it from scratch.
type sample struct {
	state   uint64
	scratch func() build.Result
	base    [resource.NumTypes]*resource.Set
}

// sample takes the class after the given one, by key, or none where all were compared.
func (e *Engine) sample(after string) (sample, *classState) {
	e.state.RLock()
	defer e.state.RUnlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.following(after)
	if g == nil || e.unchecked == 0 {
		return sample{}, nil
	}
	e.unchecked--
	class := g.class
	return sample{e.states, e.translator.FromScratch(&class), g.base}, g
}

// heal makes all views anew that have something in common with a wrong one, unless there is another
// state by now.
func (e *Engine) heal(wrong *classState, state uint64) {
	e.state.Lock()
	defer e.state.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.states != state || e.classes[wrong.class.Key] != wrong {
		return
	}
	e.translator.Discard(&wrong.class)
	for _, g := range e.classes {
		g.refresh(e.translator, e.pool)
		g.publish(cause{}, e.pool)
	}
}

// following gives the class that comes next by key, or the first; nil for none.
func (e *Engine) following(after string) *classState {
	var first, next *classState
	for key, g := range e.classes {
		if g.built && (first == nil || key < first.class.Key) {
			first = g
		}
		if g.built && key > after && (next == nil || key < next.class.Key) {
			next = g
		}
	}
	return cmp.Or(next, first)
}

// compare names the first difference, or gives "".
func compare(has, want [resource.NumTypes]*resource.Set) string {
	for t := range want {
		if want[t].Same(has[t]) {
			continue
		}
		d := want[t].Since(has[t])
		for _, r := range slices.Concat(d.Changed, d.Removed) {
			return fmt.Sprintf("%s %s", r.Type, r.Name)
		}
	}
	return ""
}
