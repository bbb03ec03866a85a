package push

import "slices"

// estate is what a class had when a proxy left it: what that proxy runs, and can go back to if it refuses
// what it gets in its new class.
type estate struct {
	view   *View
	former map[resourceID][]*Resource // the versions before view's, the newest last
}

// bequeath notes what the class has from which a proxy comes.
func (g *group) bequeath(from *group) {
	if slices.ContainsFunc(g.estates, func(e *estate) bool { return e.view == from.view }) {
		return
	}
	e := &estate{view: from.view, former: make(map[resourceID][]*Resource, len(from.former))}
	for id, h := range from.former {
		e.former[id] = slices.Clone(h.versions)
	}
	g.estates = append(g.estates, e)
}

// adopt takes over from the estates the former versions of what no proxy has accepted yet, and serves
// them in place of what is refused already.
func (g *group) adopt(p *pools) {
	if len(g.estates) == 0 {
		return
	}
	for _, e := range g.estates {
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
	g.estates = nil
	if len(g.rejected) > 0 {
		g.cover()
		g.compose(p)
	}
}

// succeed puts versions before the class's own former ones, unless those can be gone back to.
func (g *group) succeed(id resourceID, versions []*Resource) {
	now, own := g.view.sets[id.typ].Get(id.name), g.former[id]
	if now == nil || now.Accepted() || own.last() != nil {
		return
	}
	h := &history{}
	if own != nil {
		versions = slices.Concat(versions, own.versions)
	}
	for _, r := range versions {
		h.push(r)
	}
	g.former[id] = h
}
