package push

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// classState is the proxies of one class and what they get. The engine's mutex guards it once it is
// built; while views are computed again one goroutine at a time works on it.
type classState struct {
	class   resolve.Class
	clients map[*Client]struct{}
	// broughtBy is who brought the proxy that it was made for.
	broughtBy bringer
	view      *View
	build     sync.Once // of the first view
	built     bool      // and nobody may look before

	base [resource.NumTypes]*resource.Set    // what was built
	over [resource.NumTypes][]resource.Entry // the accepted versions of what was rejected, by name
	// composed is the base that view was made of; covered tells that over has not changed since.
	composed [resource.NumTypes]*resource.Set
	covered  bool

	shared, own []model.Problem // of base
	// rejected are resources that a proxy rejected; while translation yields one of them, something else is
	// served in its place.
	rejected map[resourceID]*rejection
	// inherited tells that some of them came with a proxy of another class and were not looked at yet.
	inherited bool
	// former are the versions before the present one of resources that are not accepted yet.
	former map[resourceID]history
	// previous are the classes from which proxies came with the present commit, as those had it.
	previous []*previousClass
}

// history is what can be gone back to: versions that were replaced, the newest last. All but the first
// were not known to be accepted then; a slow client may tell so later.
type history []*resource.Resource

// maxHistory bounds the versions that are kept of one resource.
const maxHistory = 4

// with adds a version that was replaced. The history of before is not to be used any more.
func (h history) with(old *resource.Resource) history {
	if old.Accepted() {
		return history{old}
	}
	if len(h) == maxHistory { // the oldest stays only if nothing else is known to be accepted
		drop := 1
		if h[1].Accepted() || !h[0].Accepted() {
			drop = 0
		}
		h = slices.Delete(h, drop, drop+1)
	}
	return append(h, old)
}

// last gives the last accepted version, or nil.
func (h history) last() *resource.Resource {
	for _, r := range slices.Backward(h) {
		if r.Accepted() {
			return r
		}
	}
	return nil
}

type resourceID struct {
	typ  resource.Type
	name string
}

func (id resourceID) compare(o resourceID) int {
	return cmp.Or(cmp.Compare(id.typ, o.typ), strings.Compare(id.name, o.name))
}

func newClassState(c resolve.Class, empty *resource.Set) *classState {
	g := &classState{
		class: c, clients: map[*Client]struct{}{}, view: &View{Class: c.Key},
		rejected: map[resourceID]*rejection{}, former: map[resourceID]history{},
	}
	for t := range g.base {
		g.base[t], g.view.sets[t] = empty, empty
	}
	return g
}

// refresh takes what is built for the class now, and tells whether its problems are others.
func (g *classState) refresh(t Translator, p *resource.Pool) (noted bool) {
	g.settle()
	before := slices.Concat(g.problems(), g.shared)
	r := t.Result(&g.class)
	g.rebase(r.Sets, p)
	if g.inherited {
		g.dropForeign()
	}
	g.compose(p)
	g.adopt(p)
	g.shared, g.own = r.Shared, r.Own
	return !slices.Equal(before, slices.Concat(g.problems(), g.shared))
}

// rebase takes what is built.
func (g *classState) rebase(sets [resource.NumTypes]*resource.Set, p *resource.Pool) {
	if len(g.rejected) > 0 { // for which a new version may end it
		defer g.cover()
	}
	for t, next := range sets {
		if next == nil {
			next = p.Empty()
		}
		if g.base[t] == p.Empty() { // there is no former version of anything
			g.base[t] = next
			continue
		}
		d := next.Since(g.base[t])
		for _, r := range d.Removed {
			g.forget(resourceID{resource.Type(t), r.Name})
		}
		for _, r := range d.Changed {
			g.admit(r, g.base[t].Get(r.Name), p)
		}
		g.base[t] = next
	}
}

// cover lists what stands over the base in the place of what was rejected: the same without the parts that
// are at fault, or the last accepted version. What has neither stays: a proxy may have one from another
// server, which to leave it out would take away.
func (g *classState) cover() {
	g.over, g.covered = [resource.NumTypes][]resource.Entry{}, false
	for id, f := range g.rejected {
		r := f.standIn
		if r == nil {
			r = g.former[id].last()
		}
		if r != nil {
			g.over[id.typ] = append(g.over[id.typ], resource.Entry{Name: id.name, Resource: r})
		}
	}
	for t := range g.over {
		slices.SortFunc(g.over[t], resource.CompareEntries)
	}
}

// recompose makes the view anew after what was rejected has changed.
func (g *classState) recompose(p *resource.Pool) {
	g.cover()
	g.compose(p)
}

// compose makes the view.
func (g *classState) compose(p *resource.Pool) {
	next := &View{Class: g.class.Key}
	for t, base := range g.base {
		if next.sets[t] = g.view.sets[t]; g.covered && base == g.composed[t] {
			continue
		}
		if set := p.Cover(resource.Type(t), base, g.over[t]); !set.Same(next.sets[t]) {
			next.sets[t] = set
		}
	}
	g.composed, g.covered = g.base, true
	if next.sets != g.view.sets {
		g.view = next
	}
}

// settle forgets the former versions of what is accepted by now.
func (g *classState) settle() {
	if len(g.former) == 0 {
		return
	}
	maps.DeleteFunc(g.former, func(id resourceID, _ history) bool {
		_, bad := g.rejected[id]
		now := g.view.sets[id.typ].Get(id.name)
		return !bad && now != nil && now.Accepted()
	})
}

// admit notes that a new version takes the place of an old one, which may be nil. Parts that are known to
// be at fault are not tried again.
func (g *classState) admit(r, old *resource.Resource, p *resource.Pool) {
	id := resourceID{r.Type, r.Name}
	bad := g.rejected[id]
	if bad != nil {
		if bad.built.Version == r.Version {
			return
		}
		delete(g.rejected, id)
		old = bad.standIn // what was rejected was not served
	}
	if r.Accepted() {
		delete(g.former, id)
		return
	}
	if old != nil && old != r {
		g.former[id] = g.former[id].with(old)
	}
	if bad == nil {
		return
	}
	if next := bad.succeeded(r, g.former[id].last(), p); next != nil {
		g.rejected[id] = next
	}
}

// forget drops what is remembered about a resource that exists no more.
func (g *classState) forget(id resourceID) {
	delete(g.rejected, id)
	delete(g.former, id)
}

// publish hands the view to those of the clients who have another, and gives their number.
func (g *classState) publish(by cause, p *resource.Pool) int {
	told, trials := 0, g.trials()
	for c := range g.clients {
		if c.offer(g.viewWith(trials[c], p), trials[c], by) {
			told++
		}
	}
	return told
}

// problems are what is wrong with the class's configuration now, but for what it shares.
func (g *classState) problems() []model.Problem {
	out := slices.Clone(g.own)
	for _, refused := range g.refused() {
		out = append(out, problemsOf(refused)...)
	}
	return out
}

// refused gives by type what proxies of the class refused, in the order of the names.
func (g *classState) refused() (out [resource.NumTypes][]refusal) {
	for _, id := range slices.SortedFunc(maps.Keys(g.rejected), resourceID.compare) {
		out[id.typ] = append(out[id.typ], g.rejected[id].refused...)
	}
	return out
}
