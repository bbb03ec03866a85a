package push

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// previousClass is what a class had when a proxy left it: what that proxy runs, and can go back to if it
// rejects what it gets in its new class.
type previousClass struct {
	view   *View
	former map[resourceID][]*resource.Resource // the versions before view's, the newest last
}

// inherit takes over what was rejected in the class from which a proxy comes, as far as this class has
// the same, and keeps what that class had until this one's view is made.
func (g *classState) inherit(from *classState) {
	g.remember(from)
	for id, bad := range from.rejected {
		if _, known := g.rejected[id]; known || bad.search != nil { // which begins again
			continue
		}
		own := *bad
		own.faults = slices.Clip(own.faults)
		g.rejected[id], g.inherited = &own, true
	}
}

// remember notes what the class has from which a proxy comes.
func (g *classState) remember(from *classState) {
	if slices.ContainsFunc(g.previous, func(e *previousClass) bool { return e.view == from.view }) {
		return
	}
	e := &previousClass{view: from.view, former: make(map[resourceID][]*resource.Resource, len(from.former))}
	for id, h := range from.former {
		e.former[id] = slices.Clone(h)
	}
	g.previous = append(g.previous, e)
}

// dropForeign drops what was inherited and is not of this class.
func (g *classState) dropForeign() {
	g.inherited = false
	for id, bad := range g.rejected {
		if r := g.base[id.typ].Get(id.name); r == nil || r.Version != bad.built.Version {
			g.forget(id)
		}
	}
	g.cover()
}

// adopt takes over from the previous classes the former versions of what no proxy has accepted yet, and
// serves them in place of what is rejected already.
func (g *classState) adopt(p *resource.Pool) {
	if len(g.previous) == 0 {
		return
	}
	for _, e := range g.previous {
		for t, now := range g.view.sets {
			d := now.Since(e.view.sets[t])
			for i, r := range d.Changed {
				if id := (resourceID{r.Type, r.Name}); d.Former[i] != nil {
					e.former[id] = append(e.former[id], d.Former[i])
				}
			}
		}
		for id, versions := range e.former {
			g.succeed(id, versions)
		}
	}
	g.previous = nil
	if len(g.rejected) > 0 {
		g.recompose(p)
	}
}

// succeed puts versions before the class's own former ones, unless those can be gone back to.
func (g *classState) succeed(id resourceID, versions []*resource.Resource) {
	now, own := g.view.sets[id.typ].Get(id.name), g.former[id]
	if now == nil || now.Accepted() || own.last() != nil {
		return
	}
	var h history
	for _, r := range slices.Concat(versions, own) {
		h = h.with(r)
	}
	g.former[id] = h
}
