package push

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// CheckEvery is how often Run compares a view with one that is built from scratch, as long as there
// are views that were not compared since units were computed. At 25 ms for a view of 1,400 clusters
// it costs less than a thousandth of a core, and nothing in a mesh at rest.
const CheckEvery = time.Minute

// Scratch gives what a class should run without anything that was kept from before.
type Scratch func() (Base, Draft)

// Checker is a Translator whose results can be had from scratch. The function that FromScratch
// gives belongs to the present state and may be called later, beside everything else; Discard drops
// what was kept for a class.
type Checker interface {
	FromScratch(c *resolve.Class) Scratch
	Discard(c *resolve.Class)
}

// Run compares one view after another with one that is built from scratch until ctx ends. A
// difference is a fault of this program: it is logged, counted, and healed.
func (e *Engine) Run(ctx context.Context) error {
	every := time.NewTicker(CheckEvery)
	defer every.Stop()
	last := ""
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-every.C:
			e.settle()
			last = e.check(last)
		}
	}
}

// settle lets go of former versions of what is accepted by now, and of the problems of classes whose
// last proxy went. Most are back at once, for which their problems are not to come and go.
func (e *Engine) settle() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, g := range e.groups {
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
	want, wantOwn := was.scratch()
	e.metrics.checked.Inc()
	difference := compare(was.base, was.own, want, wantOwn)
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
	scratch Scratch
	base    [NumTypes]*Set
	own     map[resourceID]*Resource
}

// sample takes the group after the given one, or none where all were compared.
func (e *Engine) sample(after string) (sample, *group) {
	e.state.RLock()
	defer e.state.RUnlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	g := e.following(after)
	checker, ok := e.translator.(Checker)
	if g == nil || !ok || e.unchecked == 0 {
		return sample{}, nil
	}
	e.unchecked--
	class := g.class
	return sample{e.states, checker.FromScratch(&class), g.base, g.own}, g // own is replaced, never changed
}

// heal makes all views anew that have something in common with a wrong one, unless there is another
// state by now.
func (e *Engine) heal(wrong *group, state uint64) {
	e.state.Lock()
	defer e.state.Unlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	checker, ok := e.translator.(Checker)
	if !ok || e.states != state || e.groups[wrong.class.Key] != wrong {
		return
	}
	checker.Discard(&wrong.class)
	for _, g := range e.groups {
		g.rebuild(e.translator, e.pools)
		g.publish(time.Time{})
	}
}

// following gives the group whose class comes next, or the first.
func (e *Engine) following(after string) *group {
	var first, next *group
	for key, g := range e.groups {
		if !g.built {
			continue
		}
		if first == nil || key < first.class.Key {
			first = g
		}
		if key > after && (next == nil || key < next.class.Key) {
			next = g
		}
	}
	if next == nil {
		return first
	}
	return next
}

// compare names the first difference, or gives "".
func compare(base [NumTypes]*Set, own map[resourceID]*Resource, wantBase Base, wantOwn Draft) string {
	for t, want := range wantBase.Sets {
		if want == nil || want.totals == base[t].totals {
			continue
		}
		d := want.Since(base[t])
		for _, r := range slices.Concat(d.Changed, d.Removed) {
			return fmt.Sprintf("%s %s", r.Type, r.Name)
		}
	}
	for _, m := range wantOwn.Messages {
		r, err := encode(m)
		if err != nil {
			continue // the former version stays
		}
		if has := own[resourceID{m.Type, m.Name}]; has == nil || has.Version != r.Version {
			return fmt.Sprintf("%s %s", m.Type, m.Name)
		}
	}
	for _, r := range wantOwn.Resources {
		if has := own[resourceID{r.Type, r.Name}]; has == nil || has.Version != r.Version {
			return fmt.Sprintf("%s %s", r.Type, r.Name)
		}
	}
	return ""
}

// FromScratch translates with a pipeline of its own, in which nothing is put over anything else. What
// it decides is encoded only where nothing equal is in use, which is most of the cost of a view.
func (p *Pipeline) FromScratch(c *resolve.Class) Scratch {
	fresh := NewPipeline()
	fresh.snapshot, fresh.alone, fresh.encoder = p.snapshot, true, p.encoder.apart()
	return func() (Base, Draft) { return fresh.Base(c), fresh.Own(c) }
}

// Discard makes the class's product anew when it is next asked for, and all that have the same below
// them.
func (p *Pipeline) Discard(c *resolve.Class) {
	part := p.parts[p.keys[c.Key]]
	if part == nil {
		return
	}
	maps.DeleteFunc(p.parts, func(_ string, o *shared) bool {
		return o == part || part.below != nil && (o == part.below || o.below == part.below)
	})
}
