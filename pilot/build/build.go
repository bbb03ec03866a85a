// Package build keeps what proxies should have up to date from commit to commit. It calls resolve and
// endpoint for one unit at a time, and turns what they decide into resources. It computes a unit again
// only when a row that it read has another value. Nobody says what depends on what: a unit's reads are
// recorded as it makes them.
//
// Glossary:
//
//	row       one row of a table of the store; what is recorded and what a commit reports
//	class     the proxies that get the same, as resolve has it
//	unit      what is computed at once: a service's clusters, a listener, a virtual host, a class's plan,
//	          which class a proxy belongs to
//	layer     units, and the sets of resources that they give, over those of the layer below it
//	plan      the unit of a layer that says of which other units it is made
//	output      the resources and problems that a unit gives
//	own unit  a unit of a layer that stands in the place of the same one below, or beside those below
//	Nobody    the namespace without anything of its own, for which the lowest layer is computed
//
// Three layers make what a class gets. The lowest is computed for Nobody and shared by all namespaces.
// Over it lies one for what a namespace sends otherwise: the units that looked for a row, or a fact,
// which Nobody has not and this namespace has. The highest is the class's own: what it receives, or
// serves as a gateway. A class with a Sidecar object has its outbound side for itself.
package build

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// Builder computes what classes should have. Advance comes first and alone, once for each commit; the
// other methods may then be called concurrently.
type Builder struct {
	encoder  *encoder
	index    *index
	options  Options
	snapshot *store.Snapshot

	units atomic.Int64 // there are

	mu      sync.Mutex // guards all below while classes are built concurrently
	layers  map[string]*layer
	seats   map[*Seat]struct{}
	updated []*layer // since the last Advance began
}

// Options of a Builder.
type Options struct {
	// Alone makes each class's layers for itself: nothing is put over what others have in common. It
	// gives the same in another way, for comparison.
	Alone bool
	// Extend wraps the outline of each layer, so that it may have further units; nil for none.
	Extend func(Outline) Outline
	// Settings of the control plane, which decide about all classes.
	Settings resolve.Settings
}

// Result is what a class should have.
type Result struct {
	Sets [resource.NumTypes]*resource.Set
	// Problems of what the class shares with others, which is one list for all of them, and of its own.
	// Nobody changes them.
	Shared, Own []model.Problem
}

// Work is what an Advance did.
type Work struct {
	Layers, Changed int // layers there are, and those of them that came out otherwise
	Units, Computed int // units there are, and those of them that were computed
	// Classes are the keys of the classes whose Result is another one; All tells that all may be.
	Classes map[string]struct{}
	All     bool
	// Moved are the seats whose class is another one, Doubted those with another doubt.
	Moved, Doubted []*Seat
}

// New gives a Builder without a state.
func New(options Options) *Builder {
	return &Builder{
		encoder: newEncoder(), index: newIndex(), options: options,
		layers: map[string]*layer{}, seats: map[*Seat]struct{}{},
	}
}

// Advance brings everything to a commit of the store. It costs what the commit concerns.
func (b *Builder) Advance(ctx context.Context, c store.Commit) (Work, error) {
	full := c.Full || b.snapshot == nil
	b.snapshot = c.Snapshot
	b.encoder.advance()
	b.encoder.filters.advance(c)
	for _, l := range b.updated {
		l.begin()
	}
	b.updated = nil
	work := Work{Classes: map[string]struct{}{}}
	work.Moved, work.Doubted = b.reclassify(c.Rows, full)
	if err := b.update(ctx, c.Rows, full); err != nil {
		return Work{}, err
	}
	for _, l := range b.updated {
		work.Computed += l.computed
		if l.changed {
			work.Changed++
			if l.top {
				work.Classes[l.class.Key] = struct{}{}
			}
		}
	}
	work.Layers, work.Units = len(b.layers), int(b.units.Load())
	return work, nil
}

// update brings the layers up to the snapshot of which a unit read one of the rows, and those above
// them, the lowest first.
func (b *Builder) update(ctx context.Context, rows []store.Row, full bool) error {
	stale := map[*layer]struct{}{}
	b.index.readers(rows, func(u *unit) {
		if u.layer != nil {
			u.layer.mark(u.id)
			stale[u.layer] = struct{}{}
		}
	})
	if full {
		for _, l := range b.layers {
			l.full, stale[l] = true, struct{}{}
		}
	}
	for level := range maxLevel + 1 {
		var layers []*layer
		for l := range stale {
			if l.level == level {
				layers = append(layers, l)
			}
		}
		if err := inParallel(ctx, layers, (*layer).update); err != nil {
			return err
		}
		for _, l := range layers {
			b.updated = append(b.updated, l)
			for above := range l.above {
				if l.news() {
					stale[above] = struct{}{}
				}
			}
		}
	}
	return nil
}

// Retain forgets the layers of classes that are not live, and what is for their places. It comes alone, as
// Advance does.
func (b *Builder) Retain(live []*resolve.Class) {
	used := map[*layer]map[place]struct{}{}
	for _, c := range live {
		for l := b.layers[c.Key]; l != nil; l = l.below {
			if used[l] == nil {
				used[l] = map[place]struct{}{}
			}
			for _, at := range placesOf(c) {
				used[l][at] = struct{}{}
			}
		}
	}
	for key, l := range b.layers {
		if places, ok := used[l]; ok {
			l.retain(places)
			continue
		}
		delete(b.layers, key)
		l.drop()
	}
}

// Result gives what a class should have, building it if it is the first of its kind.
func (b *Builder) Result(c *resolve.Class) Result {
	l := b.layer(c)
	return Result{Sets: l.sets, Shared: l.below.problems, Own: l.problems}
}

// layer gives the highest layer of a class, up to date.
func (b *Builder) layer(c *resolve.Class) *layer {
	b.mu.Lock()
	l := b.known(c.Key, *c, b.outbound)
	b.mu.Unlock()
	l.make()
	return l
}

// known gives the layer of a key, a new one over what beneath gives if there is none. The caller holds the mutex.
func (b *Builder) known(key string, c resolve.Class, beneath func(resolve.Class) *layer) *layer {
	if b.layers[key] == nil {
		b.layers[key] = newLayer(b, key, c, beneath(c))
	}
	return b.layers[key]
}

// outbound gives the layer of what a class sends.
func (b *Builder) outbound(c resolve.Class) *layer {
	outbound := c.Outbound()
	return b.known("outbound "+outbound.Key, outbound, b.common)
}

// common gives the layer that an outbound class has in common with those of other namespaces, or nil.
func (b *Builder) common(outbound resolve.Class) *layer {
	common, ok := outbound.Common()
	if !ok || b.options.Alone {
		return nil
	}
	return b.known("common "+common.Key, common, func(resolve.Class) *layer { return nil })
}

// FromScratch gives a function that translates a class with a Builder of its own, in which nothing is put
// over anything else. It belongs to the present state and may be called later, beside everything else.
// What it decides is encoded only where nothing equal is in use, which is most of the cost of a class.
func (b *Builder) FromScratch(c *resolve.Class) func() Result {
	fresh := New(Options{Alone: true, Extend: b.options.Extend, Settings: b.options.Settings})
	fresh.snapshot, fresh.encoder = b.snapshot, b.encoder.forSnapshot()
	return func() Result { return fresh.Result(c) }
}

// Discard makes everything anew that has something in common with a class, when it is next asked for.
// It comes alone, as Advance does.
func (b *Builder) Discard(c *resolve.Class) {
	of := b.layers[c.Key]
	if of == nil {
		return
	}
	lowest := of.lowest()
	for key, l := range b.layers {
		if l.lowest() == lowest {
			delete(b.layers, key)
			l.drop()
		}
	}
}
