package push

import (
	"fmt"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// group is the proxies of one class and what they get. The engine's mutex guards it; while views
// are rebuilt one goroutine at a time works on it.
type group struct {
	class   resolve.Class
	clients map[*Client]struct{}
	view    *View
	targets []Target

	translation []model.Problem // from the last translation
	invalid     map[resourceID]model.Problem
	// rejected are versions that a proxy refused; while translation yields one of them, the last
	// accepted version is served in its place.
	rejected map[resourceID]rejection
	// former are the versions before the present one of resources that are not accepted yet.
	former map[resourceID]*history
}

// history is what can be gone back to.
type history struct {
	accepted *Resource // the last that was known to be accepted
	newer    *Resource // a later one, of which that was not known when it was replaced
}

// push adds a version that was replaced.
func (h *history) push(old *Resource) {
	h.accepted = h.last()
	h.newer = old
}

// last gives the last accepted version, or nil.
func (h *history) last() *Resource {
	switch {
	case h == nil:
		return nil
	case h.newer != nil && h.newer.Accepted():
		return h.newer
	}
	return h.accepted
}

type resourceID struct {
	typ  Type
	name string
}

type rejection struct {
	version  string
	problems []model.Problem
}

func newGroup(c resolve.Class) *group {
	return &group{
		class: c, clients: map[*Client]struct{}{}, view: NewView(c.Key),
		invalid: map[resourceID]model.Problem{}, rejected: map[resourceID]rejection{},
		former: map[resourceID]*history{},
	}
}

// rebuild computes the whole view again. Sets that come out the same stay the same objects.
func (g *group) rebuild(t Translator, p *pool) {
	draft := t.Translate(&g.class)
	g.targets, g.translation = draft.Targets, draft.Problems
	clear(g.invalid)
	var fresh [NumTypes]map[string]*Resource
	for i := range fresh {
		fresh[i] = map[string]*Resource{}
	}
	seen := make(map[resourceID]struct{}, len(draft.Messages))
	for _, m := range draft.Messages {
		seen[resourceID{m.Type, m.Name}] = struct{}{}
		if r := g.admit(m, p); r != nil {
			fresh[m.Type][r.Name] = r
		}
	}
	g.forget(seen)
	next := &View{Class: g.class.Key}
	changed := false
	for i := range fresh {
		next.sets[i] = setOf(fresh[i])
		if next.sets[i].version == g.view.sets[i].version {
			next.sets[i] = g.view.sets[i]
		}
		changed = changed || next.sets[i] != g.view.sets[i]
	}
	if changed {
		g.view = next
	}
}

// update computes again only what changed endpoints can change.
func (g *group) update(t Translator, services map[model.Key]struct{}, p *pool) {
	messages, whole := t.Endpoints(&g.class, g.targets, services)
	if whole {
		g.rebuild(t, p)
		return
	}
	var fresh [NumTypes][]*Resource
	for _, m := range messages {
		delete(g.invalid, resourceID{m.Type, m.Name})
		if r := g.admit(m, p); r != nil {
			fresh[m.Type] = append(fresh[m.Type], r)
		}
	}
	for typ, rs := range fresh {
		g.replace(Type(typ), rs...)
	}
}

// replace puts resources into the view, which becomes a new one if that changes anything.
func (g *group) replace(t Type, rs ...*Resource) {
	set := g.view.sets[t].with(rs)
	if set == g.view.sets[t] {
		return
	}
	next := *g.view
	next.sets[t] = set
	g.view = &next
}

// admit checks and marshals a message and tells which resource to serve for it: the new one, the
// one before where the new one is bad, or nil for none.
func (g *group) admit(m Message, p *pool) *Resource {
	id := resourceID{m.Type, m.Name}
	old := g.view.sets[m.Type].Get(m.Name)
	r, err := encode(m)
	if err != nil {
		g.invalid[id] = invalidProblem(m, err)
		return old
	}
	r = p.intern(r)
	if bad, ok := g.rejected[id]; ok {
		if bad.version == r.Version {
			return g.former[id].last()
		}
		delete(g.rejected, id)
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
	return r
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

// forget drops what is remembered about resources that exist no more.
func (g *group) forget(seen map[resourceID]struct{}) {
	for id := range g.rejected {
		if _, ok := seen[id]; !ok {
			delete(g.rejected, id)
		}
	}
	for id := range g.former {
		if _, ok := seen[id]; !ok {
			delete(g.former, id)
		}
	}
}

// reject takes a version out of service that a proxy refused. It tells whether it did: a version
// that another proxy runs is not at fault, the refusal is that proxy's own trouble.
func (g *group) reject(r *Resource, proxy, detail string) bool {
	id := resourceID{r.Type, r.Name}
	if r.Accepted() || g.view.sets[r.Type].Get(r.Name) != r {
		return false
	}
	g.rejected[id] = rejection{version: r.Version, problems: rejectedProblems(r, proxy, detail)}
	if last := g.former[id].last(); last != nil {
		g.replace(r.Type, last)
		return true
	}
	m := map[string]*Resource{}
	for o := range g.view.sets[r.Type].All() {
		if o != r {
			m[o.Name] = o
		}
	}
	next := *g.view
	next.sets[r.Type] = setOf(m)
	g.view = &next
	return true
}

// problems are all that is wrong with the class's configuration now.
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

// kindResource stands in a problem for an object where a resource came from none.
const kindResource model.Kind = "Resource"

func firstSource(m Message) model.Key {
	if s := Sources(m.Body); len(s) > 0 {
		return s[0]
	}
	return model.Key{Kind: kindResource, Name: m.Type.String() + " " + m.Name}
}
