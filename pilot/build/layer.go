package build

import (
	"maps"
	"slices"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// layer is units, and the sets of resources that they give, over those of the layer below. While layers
// are updated one goroutine at a time works on each, when the layer below is up to date.
type layer struct {
	builder *Builder
	key     string
	class   resolve.Class
	below   *layer // nil for none
	above   map[*layer]struct{}
	level   int  // how many are below
	top     bool // it is the class's own, over what that sends
	once    sync.Once

	outline Outline // nil before the first update
	// borrowed tells that outline is that of the layer below, since nothing that it follows from is
	// otherwise here.
	borrowed bool
	plan     *unit // of outline; nil where it is borrowed
	own      *ownRows
	units    map[UnitID]*unit // those that are not as below
	routes   map[string]*routes
	version  int // how often units came, went or read something else

	sets  [resource.NumTypes]*resource.Set
	cover cover
	local
	reports  map[UnitID][]model.Problem // by unit, of those that have any
	problems []model.Problem            // in order, each once; replaced, never changed

	// Of the present update:
	dirty    map[UnitID]struct{} // units of which a row that they read has another value
	full     bool                // everything is to be computed again
	changed  bool                // sets or problems
	noted    bool                // reports
	renamed  bool                // some unit gives resources of other names
	computed int                 // units
}

const maxLevel = 2

func newLayer(b *Builder, key string, c resolve.Class, below *layer) *layer {
	l := &layer{
		builder: b, key: key, class: c, below: below, top: key == c.Key, units: map[UnitID]*unit{}, routes: map[string]*routes{},
		reports: map[UnitID][]model.Problem{}, local: local{byPlace: map[place]*localised{}},
	}
	if below != nil {
		l.level = below.level + 1
	}
	if l.level < maxLevel {
		l.above = map[*layer]struct{}{}
	}
	for t := range l.sets {
		l.sets[t] = b.encoder.pool.Empty()
	}
	return l
}

// make brings a new layer to the present state.
func (l *layer) make() {
	l.once.Do(func() {
		if l.below != nil {
			l.below.make()
		}
		l.full = true
		l.update()
		l.builder.mu.Lock()
		defer l.builder.mu.Unlock()
		l.builder.updated = append(l.builder.updated, l)
		if l.below != nil {
			l.below.above[l] = struct{}{}
		}
	})
}

// begin forgets what the last update did.
func (l *layer) begin() {
	l.changed, l.noted, l.renamed, l.computed = false, false, false, 0
	l.regrouped, l.relocated = false, nil
}

// news tells whether the last update did anything that the layers above may depend on.
func (l *layer) news() bool {
	return l.changed || l.noted || l.renamed || l.regrouped || len(l.relocated) > 0 || l.computed > 0
}

func (l *layer) update() {
	if l.full {
		l.clear()
	}
	former := l.outline
	if l.lay() {
		l.choose(former)
	}
	l.computeDirty()
	l.composeRoutes()
	l.publish()
	l.full, l.dirty = false, nil
}

// clear forgets all units, so that each is computed again. What they gave stays until then.
func (l *layer) clear() {
	for _, u := range l.units {
		l.forget(u)
	}
	l.builder.units.Add(-int64(len(l.units)))
	if l.own != nil {
		l.builder.index.forget(&l.own.unit)
	}
	l.outline, l.borrowed, l.own = nil, false, nil
	l.dropPlan()
	l.units, l.routes = map[UnitID]*unit{}, map[string]*routes{}
	l.noted = true
	l.cover.clear(l)
}

// drop gives up the layer.
func (l *layer) drop() {
	if l.below != nil {
		delete(l.below.above, l)
	}
	l.clear()
}

// lowest gives the layer that is below all others here.
func (l *layer) lowest() *layer {
	for l.below != nil {
		l = l.below
	}
	return l
}

// lay brings the outline up to date, and tells whether the layer may be made of other units.
func (l *layer) lay() bool {
	moved := l.varies() && l.readOwn()
	switch {
	case moved && !l.own.reads(l.below.plan):
		l.dropPlan()
		l.outline, l.borrowed = l.below.outline.For(&l.class), true
		return true
	case l.borrowed && !moved:
		return false
	case l.plan == nil || l.isDirty(l.plan.id):
		l.replan()
		return true
	}
	return moved
}

// varies tells whether the layer has in its own way what the layer below has. A class's own layer has
// other things.
func (l *layer) varies() bool { return l.below != nil && !l.top }

// mark notes that a unit is to be computed again.
func (l *layer) mark(id UnitID) {
	if l.dirty == nil {
		l.dirty = map[UnitID]struct{}{}
	}
	l.dirty[id] = struct{}{}
}

func (l *layer) isDirty(id UnitID) bool {
	_, dirty := l.dirty[id]
	return dirty
}

// replan computes the outline.
func (l *layer) replan() {
	if l.plan == nil {
		l.plan = &unit{layer: l, id: UnitID{Kind: kindPlan}}
	}
	t := trace{client: l.key}
	r := l.builder.snapshot.Reader(t.record)
	var next Outline
	if l.top {
		next = newClassOutline(r, &l.class, l.builder.encoder)
	} else {
		next = newOutboundOutline(r, &l.class, l.builder.encoder)
	}
	if l.builder.options.Extend != nil {
		next = l.builder.options.Extend(next)
	}
	var former Outline
	if !l.borrowed {
		former = l.outline
	}
	l.markFacts(next.ChangedFacts(former))
	l.outline, l.borrowed = next, false
	l.link(l.plan, t.rows)
	l.computed++
	l.report(l.plan.id, next.Problems())
}

// markFacts marks the units that noted facts.
func (l *layer) markFacts(facts []string) {
	rows := make([]store.Row, 0, len(facts))
	for _, fact := range facts {
		rows = append(rows, l.factRow(fact))
	}
	l.builder.index.readers(rows, func(u *unit) { l.mark(u.id) }) // nobody else notes facts of the layer
}

func (l *layer) factRow(fact string) store.Row {
	row := store.FactRow(fact)
	row.Client = l.key
	return row
}

func (l *layer) dropPlan() {
	if l.plan != nil {
		l.builder.index.forget(l.plan)
		l.plan = nil
		l.report(UnitID{Kind: kindPlan}, nil)
	}
}

// choose finds of which units the layer is made: drops those that it has no more, and marks those that
// are new or have another part of the plan than in the former outline, nil for none.
func (l *layer) choose(former Outline) {
	before, version := len(l.units), l.version
	defer func() { l.builder.units.Add(int64(len(l.units) - before)) }()
	var since, over Differences // from the former outline, and from that of the layer below
	if former != nil {
		since = l.outline.Compare(former)
	}
	switch {
	case l.varies():
		if !l.borrowed {
			over = l.outline.Compare(l.below.outline)
		}
		l.haveOwn(over)
	case former == nil:
		l.have(l.outline.Units())
	default:
		l.lose(since[resolve.Gone]...)
		l.have(since[resolve.Added])
	}
	for _, id := range slices.Concat(since[resolve.Added], since[resolve.Altered]) {
		if l.units[id] != nil {
			l.mark(id)
		}
	}
	l.cover.hide(l, over[resolve.Gone], l.version != version)
	l.layRoutes()
}

// haveOwn makes the layer, which is over another, of those units that looked for what the namespace has of its
// own, and of those that the outline has otherwise.
func (l *layer) haveOwn(over Differences) {
	wanted := map[UnitID]struct{}{}
	l.own.readers(func(u *unit) {
		if u.id.Kind != kindPlan && (l.borrowed || l.outline.Has(u.id)) {
			wanted[u.id] = struct{}{}
		}
	})
	for _, id := range slices.Concat(over[resolve.Added], over[resolve.Altered]) {
		wanted[id] = struct{}{}
	}
	for id := range wanted { // what is sent to a cluster follows from how it is made
		if id.Kind == kindClusters {
			wanted[UnitID{Kind: kindAssignments, Host: id.Host}] = struct{}{}
		}
	}
	for id := range l.units {
		if _, stays := wanted[id]; !stays {
			l.lose(id)
		}
	}
	l.have(slices.Collect(maps.Keys(wanted)))
}

// have takes in units, of those that the layer has not, to be computed.
func (l *layer) have(ids []UnitID) {
	for _, id := range ids {
		if l.units[id] != nil {
			continue
		}
		l.units[id] = &unit{layer: l, id: id}
		l.version++
		l.mark(id)
		if r := l.routes[id.Name]; id.Kind == kindVirtualHost && r != nil {
			r.stale, r.moved = true, true // also if it turns out to be none, in the place of one below
		}
	}
}

// lose drops units.
func (l *layer) lose(ids ...UnitID) {
	for _, id := range ids {
		if u := l.units[id]; u != nil {
			l.forget(u)
			delete(l.units, id)
		}
	}
}

// forget takes a unit out of what it was counted in.
func (l *layer) forget(u *unit) {
	l.builder.index.forget(u)
	l.version++
	l.cover.replaced(l, u.Output.Type, u.Resources, nil)
	l.report(u.id, nil)
	if u.id.Kind == kindClusters && slices.ContainsFunc(u.clusters, isLocal) {
		l.moved = true
	}
	if r := l.routes[u.id.Name]; u.id.Kind == kindVirtualHost && r != nil {
		r.stale, r.moved = true, true
	}
}

// computeDirty computes the units that are marked, clusters before their assignments, which they may
// mark.
func (l *layer) computeDirty() {
	for _, assignments := range []bool{false, true} {
		for id := range l.dirty {
			if u := l.units[id]; u != nil && (id.Kind == kindAssignments) == assignments {
				l.compute(u)
			}
		}
	}
}

// compute makes a unit again.
func (l *layer) compute(u *unit) {
	l.computed++
	t := trace{client: l.key}
	next := l.outline.Compute(Input{l.builder.snapshot.Reader(t.record), l.clustersOf}, u.id)
	l.link(u, t.rows)
	former := u.Output
	l.replace(u.id, &u.Output, next)
	switch u.id.Kind {
	case kindClusters:
		if !slices.Equal(former.clusters, next.clusters) {
			l.mark(UnitID{Kind: kindAssignments, Host: u.id.Host})
			l.moved = l.moved || slices.ContainsFunc(former.clusters, isLocal) || slices.ContainsFunc(next.clusters, isLocal)
		}
	case kindAssignments:
		if slices.ContainsFunc(l.clustersOf(u.id.Host), isLocal) {
			l.relocate(u.id.Host)
		}
	case kindVirtualHost:
		l.routes[u.id.Name].take(u, former)
	}
}

// replace puts an output in the place of a former one. Of what is forbidden now the former version stays.
func (l *layer) replace(of UnitID, former *Output, next Output) {
	for i, e := range next.Resources {
		if e.Resource == nil {
			next.Resources[i].Resource = l.sets[next.Type].Get(e.Name)
		}
	}
	l.cover.replaced(l, next.Type, former.Resources, next.Resources)
	l.report(of, next.Problems)
	*former = next
}

// link records what a unit read.
func (l *layer) link(u *unit, rows []store.Row) {
	if l.builder.index.link(u, rows) {
		l.version++
	}
}

// find gives a unit of the layer or of those below, or nil.
func (l *layer) find(id UnitID) *unit {
	for ; l != nil; l = l.below {
		if u := l.units[id]; u != nil {
			return u
		}
	}
	return nil
}

func (l *layer) clustersOf(host string) []*ir.Cluster {
	if u := l.find(UnitID{Kind: kindClusters, Host: host}); u != nil {
		return u.clusters
	}
	return nil
}
