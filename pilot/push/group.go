package push

import (
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// group is the proxies of one class and what they get. The engine's mutex guards it once it is
// built; while views are computed again one goroutine at a time works on it.
type group struct {
	class   resolve.Class
	clients map[*Client]struct{}
	view    *View
	build   sync.Once // of the first view
	built   bool      // and nobody may look before

	base [NumTypes]*Set           // what the class shares with others
	own  map[resourceID]*Resource // over it
	over [NumTypes][]entry        // own, and the accepted versions of what was rejected, by name
	// composed is the base that view was made of; covered tells that over has not changed since.
	composed [NumTypes]*Set
	covered  bool

	shared      []model.Problem // of base
	translation []model.Problem // of own
	invalid     map[resourceID]model.Problem
	// rejected are versions that a proxy refused; while translation yields one of them, the last
	// accepted version is served in its place.
	rejected map[resourceID]rejection
	heir     bool // some of them were inherited and not looked at yet
	// former are the versions before the present one of resources that are not accepted yet.
	former map[resourceID]*history
	// estates are those of the classes from which proxies came with the present commit.
	estates []*estate
}

// history is what can be gone back to: versions that were replaced, the newest last. All but the first
// were not known to be accepted then; a slow client may tell so later.
type history struct{ versions []*Resource }

// maxHistory bounds the versions that are kept of one resource.
const maxHistory = 4

// push adds a version that was replaced.
func (h *history) push(old *Resource) {
	if old.Accepted() {
		h.versions = nil
	}
	if len(h.versions) == maxHistory { // the oldest stays only if nothing else is known to be accepted
		drop := 1
		if h.versions[1].Accepted() || !h.versions[0].Accepted() {
			drop = 0
		}
		h.versions = slices.Delete(h.versions, drop, drop+1)
	}
	h.versions = append(h.versions, old)
}

// last gives the last accepted version, or nil.
func (h *history) last() *Resource {
	if h == nil {
		return nil
	}
	for _, r := range slices.Backward(h.versions) {
		if r.Accepted() {
			return r
		}
	}
	return nil
}

type resourceID struct {
	typ  Type
	name string
}

type rejection struct {
	version  string
	problems []model.Problem
}

func newGroup(c resolve.Class, empty *Set) *group {
	g := &group{
		class: c, clients: map[*Client]struct{}{}, view: &View{Class: c.Key},
		invalid: map[resourceID]model.Problem{}, rejected: map[resourceID]rejection{},
		former: map[resourceID]*history{},
	}
	for t := range g.base {
		g.base[t], g.view.sets[t] = empty, empty
	}
	return g
}

// rebuild computes the whole view again. Sets that come out the same stay the same objects.
func (g *group) rebuild(t Translator, p *pools) {
	g.rebase(t.Base(&g.class), p)
	g.redo(t.Own(&g.class), p)
	g.disown()
	g.compose(p)
	g.adopt(p)
}

// refresh computes again what the translator's last step may have changed.
func (g *group) refresh(t Translator, p *pools) {
	base, own := t.Touched(&g.class)
	if base {
		g.rebase(t.Base(&g.class), p)
	}
	if own {
		g.redo(t.Own(&g.class), p)
	}
	heir := g.heir
	if heir {
		g.disown()
	}
	if base || own || heir {
		g.compose(p)
	}
	g.adopt(p)
}

// rebase takes what the class shares with others.
func (g *group) rebase(b Base, p *pools) {
	if len(g.rejected) > 0 { // for which a new version may end it
		defer g.cover()
	}
	for t, next := range b.Sets {
		if next == nil {
			next = p.empty
		}
		if g.base[t] == p.empty { // there is no former version of anything
			g.base[t] = next
			continue
		}
		d := next.Since(g.base[t])
		for _, r := range d.Removed {
			g.forget(resourceID{Type(t), r.Name})
		}
		for _, r := range d.Changed {
			g.admit(r, g.base[t].Get(r.Name))
		}
		g.base[t] = next
	}
	g.shared = b.Problems
}

// redo takes the rest. What comes out forbidden stays as it was.
func (g *group) redo(d Draft, p *pools) {
	g.translation = d.Problems
	clear(g.invalid)
	fresh := make(map[resourceID]*Resource, len(d.Messages)+len(d.Resources))
	for _, m := range d.Messages {
		id := resourceID{m.Type, m.Name}
		r, err := encode(m)
		if err != nil {
			g.invalid[id] = invalidProblem(m, err)
			r = g.own[id]
		} else {
			r = p.resources.one(r)
		}
		if r != nil {
			fresh[id] = r
		}
	}
	for _, r := range d.Resources {
		fresh[resourceID{r.Type, r.Name}] = r
	}
	for id, r := range fresh {
		if r != g.own[id] {
			g.admit(r, g.own[id])
		}
	}
	for id := range g.own {
		if fresh[id] == nil {
			g.forget(id)
		}
	}
	g.own = fresh
	g.cover()
}

// cover lists what stands over the base: the own resources, and the accepted versions of those
// that were rejected, of the base too. What was rejected and has no accepted version stays: a proxy
// may have one from another server, which to leave it out would take away.
func (g *group) cover() {
	g.over, g.covered = [NumTypes][]entry{}, false
	for id, r := range g.own {
		if _, bad := g.rejected[id]; !bad || g.former[id].last() == nil {
			g.over[id.typ] = append(g.over[id.typ], entry{id.name, r})
		}
	}
	for id := range g.rejected {
		if r := g.former[id].last(); r != nil {
			g.over[id.typ] = append(g.over[id.typ], entry{id.name, r})
		}
	}
	for t := range g.over {
		slices.SortFunc(g.over[t], compareEntries)
	}
}

// compose makes the view.
func (g *group) compose(p *pools) {
	next := &View{Class: g.class.Key}
	for t, base := range g.base {
		if next.sets[t] = g.view.sets[t]; g.covered && base == g.composed[t] {
			continue
		}
		if set := p.sets[t].cover(base, g.over[t]); set.totals != next.sets[t].totals {
			next.sets[t] = set
		}
	}
	g.composed, g.covered = g.base, true
	if next.sets != g.view.sets {
		g.view = next
	}
}

// settle forgets the former versions of what is accepted by now.
func (g *group) settle() {
	if len(g.former) == 0 {
		return
	}
	maps.DeleteFunc(g.former, func(id resourceID, _ *history) bool {
		_, bad := g.rejected[id]
		now := g.view.sets[id.typ].Get(id.name)
		return !bad && now != nil && now.Accepted()
	})
}

// admit notes that a new version takes the place of an old one, which may be nil.
func (g *group) admit(r, old *Resource) {
	id := resourceID{r.Type, r.Name}
	if bad, ok := g.rejected[id]; ok {
		if bad.version == r.Version {
			return
		}
		delete(g.rejected, id)
		old = nil // it was not served
	}
	switch {
	case r.Accepted():
		delete(g.former, id)
	case old != nil && old != r:
		if g.former[id] == nil {
			g.former[id] = &history{}
		}
		g.former[id].push(old)
	}
}

// encode validates and marshals.
func encode(m Message) (*Resource, error) {
	if v, ok := m.Body.(interface{ ValidateAll() error }); ok {
		if err := v.ValidateAll(); err != nil {
			return nil, err
		}
	}
	return NewResource(m.Type, m.Name, m.Body)
}

// inherit takes over what was refused in the class from which a proxy comes, as far as this class has
// the same, and keeps what that class had until this one's view is made.
func (g *group) inherit(from *group) {
	g.bequeath(from)
	for id, bad := range from.rejected {
		if _, known := g.rejected[id]; known {
			continue
		}
		g.rejected[id], g.heir = bad, true
	}
}

// disown drops what was inherited and is not of this class.
func (g *group) disown() {
	g.heir = false
	for id, bad := range g.rejected {
		r := g.own[id]
		if r == nil {
			r = g.base[id.typ].Get(id.name)
		}
		if r == nil || r.Version != bad.version {
			g.forget(id)
		}
	}
	g.cover()
}

// forget drops what is remembered about a resource that exists no more.
func (g *group) forget(id resourceID) {
	delete(g.rejected, id)
	delete(g.former, id)
}

// reject takes a version out of service that a proxy refused. It tells whether it did: a version
// that another proxy runs is not at fault, the refusal is that proxy's own trouble.
func (g *group) reject(r *Resource, proxy, detail string, p *pools) bool {
	id := resourceID{r.Type, r.Name}
	served := g.view.sets[r.Type].Get(r.Name)
	if r.Accepted() || g.rejected[id].version == r.Version || served == nil || served.Version != r.Version {
		return false
	}
	g.rejected[id] = rejection{version: r.Version, problems: rejectedProblems(r, proxy, detail)}
	g.cover()
	g.compose(p)
	return true
}

// problems are what is wrong with the class's configuration now, but for what it shares.
func (g *group) problems() []model.Problem {
	out := slices.Clone(g.translation)
	for _, p := range g.invalid {
		out = append(out, p)
	}
	for _, r := range g.rejected {
		out = append(out, r.problems...)
	}
	return out
}

func invalidProblem(m Message, err error) model.Problem {
	return model.Problem{
		Object: firstSource(m), Severity: model.SeverityError, Reason: model.ReasonInvalid,
		Message: fmt.Sprintf("gives %s %q which Envoy's API forbids, so its former version stays: %v", m.Type, m.Name, err),
	}
}

// forbidden reports a resource of a part.
func forbidden(t Type, name string, err error) model.Problem {
	return model.Problem{
		Object: model.Key{Kind: kindResource, Name: t.String() + " " + name}, Severity: model.SeverityError, Reason: model.ReasonInvalid,
		Message: fmt.Sprintf("is what Envoy's API forbids, so its former version stays: %v", err),
	}
}

// kindResource stands in a problem for an object where a resource came from none.
const kindResource model.Kind = "Resource"

func firstSource(m Message) model.Key {
	if s := Sources(m.Body); len(s) > 0 {
		return s[0]
	}
	return model.Key{Kind: kindResource, Name: m.Type.String() + " " + m.Name}
}
