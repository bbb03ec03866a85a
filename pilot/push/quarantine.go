package push

import (
	"cmp"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// reject takes a version out of service that a proxy rejected, and begins to look for the parts of it that
// are at fault, or goes on with that. It tells whether anything came of it: a version that another proxy
// runs is not at fault, the rejection is that proxy's own trouble. elsewhere gives versions that proxies of
// other classes have accepted.
func (g *classState) reject(c *Client, r *resource.Resource, detail string, p *resource.Pool, elsewhere func(resourceID) []*resource.Resource) bool {
	id := resourceID{r.Type, r.Name}
	f := g.rejected[id]
	if f != nil {
		f.patching = c.patching
	}
	if f != nil && f.search != nil {
		return g.trialRejected(f, c, r, detail, p)
	}
	served := g.view.sets[r.Type].Get(r.Name)
	if r.Accepted() || served == nil || served.Version != r.Version || f != nil && f.standIn == nil {
		return false
	}
	if f == nil {
		f = &rejection{built: served, patching: c.patching}
		g.rejected[id] = f
	}
	switch f.search = f.newSearch(c, g.former[id].last(), elsewhere(id), detail); {
	case f.search == nil:
		f.giveUp(c.name(), detail, g.former[id].last())
	case !g.ask(f, p):
		f.settle()
	}
	g.recompose(p)
	return true
}

// trialRejected takes a proxy's answer that it does not take what it was asked about.
func (g *classState) trialRejected(f *rejection, c *Client, r *resource.Resource, detail string, p *resource.Pool) bool {
	s, id := f.search, resourceID{r.Type, r.Name}
	if s.asks != c || s.trial.Version != r.Version {
		return false
	}
	switch {
	case len(s.trying) > 0:
		s.proxy, s.detail = c.name(), detail
		g.goOn(f, false, p)
	case s.suspectAll():
		if !g.ask(f, p) {
			f.settle()
		}
	default: // it rejects what is left without any suspect
		f.giveUp(c.name(), detail, g.former[id].last())
	}
	g.recompose(p)
	return true
}

// took takes a proxy's answer that it took what it was asked about, and tells whether it was asked.
func (g *classState) took(c *Client, r *resource.Resource, p *resource.Pool) bool {
	f := g.rejected[resourceID{r.Type, r.Name}]
	if f == nil || f.search == nil || f.search.asks != c || f.search.trial.Version != r.Version {
		return false
	}
	f.search.trial.Accept()
	g.goOn(f, true, p)
	g.recompose(p)
	return true
}

// goOn goes on with a search after an answer.
func (g *classState) goOn(f *rejection, taken bool, p *resource.Pool) {
	if !f.answered(taken) || !g.ask(f, p) {
		f.settle()
	}
}

// ask makes what the proxy is asked about in the present round. It answers for the proxy where some
// proxy has accepted that already. It gives false when the search is over.
func (g *classState) ask(f *rejection, p *resource.Pool) bool {
	s := f.search
	for {
		r, err := s.parts.Without(s.out(), s.former)
		if err != nil { // our own bytes
			return false
		}
		if s.former != nil && r.Version == s.former.Of().Version {
			r = s.former.Of()
		}
		if s.trial = p.One(r); !s.trial.Accepted() {
			return true
		}
		if !f.answered(true) {
			return false
		}
	}
}

// elsewhere gives the versions of a resource that proxies have accepted, of whichever class; few that
// differ. The caller holds the mutex.
func (e *Engine) elsewhere(id resourceID) []*resource.Resource {
	const most = 64
	var out []*resource.Resource
	for _, g := range e.classes {
		if !g.built || len(out) == most {
			continue
		}
		for _, r := range []*resource.Resource{g.view.sets[id.typ].Get(id.name), g.former[id].last()} {
			if r != nil && r.Accepted() && !slices.Contains(out, r) {
				out = append(out, r)
			}
		}
	}
	return out
}

// trials gives what each client is asked about. A search whose client is gone goes on with another.
func (g *classState) trials() map[*Client][]*resource.Resource {
	var out map[*Client][]*resource.Resource
	for _, f := range g.rejected {
		if f.search == nil {
			continue
		}
		if f.search.asks == nil {
			f.search.asks = g.anyClient()
		}
		if asked := f.search.asks; asked != nil {
			if out == nil {
				out = map[*Client][]*resource.Resource{}
			}
			out[asked] = append(out[asked], f.search.trial)
		}
	}
	return out
}

// anyClient gives a client that may be asked, nil for none: one with an identity if there is one.
func (g *classState) anyClient() *Client {
	var best *Client
	for c := range g.clients {
		if best == nil || cmp.Or(strings.Compare(best.node.Identity, c.node.Identity), strings.Compare(c.node.ID, best.node.ID)) < 0 {
			best = c
		}
	}
	return best
}

// release ends a client's part in all searches, and tells whether there are others to go on with them.
func (g *classState) release(c *Client) bool {
	asked := false
	for _, f := range g.rejected {
		if f.search != nil && f.search.asks == c {
			f.search.asks, asked = nil, true
		}
	}
	return asked && len(g.clients) > 0
}

// viewWith gives the view with what a client is asked about in it.
func (g *classState) viewWith(trials []*resource.Resource, p *resource.Pool) *View {
	if len(trials) == 0 {
		return g.view
	}
	var over [resource.NumTypes][]resource.Entry
	for _, r := range trials {
		over[r.Type] = append(over[r.Type], resource.Entry{Name: r.Name, Resource: r})
	}
	v := &View{Class: g.view.Class, sets: g.view.sets}
	for t, entries := range over {
		slices.SortFunc(entries, resource.CompareEntries)
		v.sets[t] = p.Cover(resource.Type(t), v.sets[t], entries)
	}
	return v
}
