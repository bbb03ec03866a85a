package push

import (
	"cmp"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// report hands over the problems of all views, each once. The caller holds the mutex.
func (e *Engine) report() {
	if e.opts.Report == nil {
		return
	}
	var all []model.Held
	e.holders = model.Holders{}
	shared := map[*model.Problem]*model.Held{} // by the first of a list that several classes share
	for _, g := range e.classes {
		if len(g.clients) == 0 {
			continue
		}
		by := g.holders()
		e.holders.Join(by)
		all = append(all, model.Held{Problems: e.problems(g), By: by})
		if len(g.shared) == 0 {
			continue
		}
		if shared[&g.shared[0]] == nil {
			shared[&g.shared[0]] = &model.Held{Problems: g.shared}
		}
		shared[&g.shared[0]].By.Join(by)
	}
	for _, h := range shared {
		all = append(all, *h)
	}
	e.reported, e.left = model.Scoped(all), false
	e.opts.Report(e.reported)
}

// holders gives who the proxies of the class are.
func (g *classState) holders() (out model.Holders) {
	for c := range g.clients {
		out.Join(c.holder())
		if g.class.Type != model.RouterProxy {
			break // as all others of the namespace
		}
	}
	return out
}

// holder gives who the proxy is. A gateway that does not say of which workload it is counts by its own name.
func (c *Client) holder() (out model.Holders) {
	out.Add(c.node.Type, c.node.Namespace, cmp.Or(c.node.Metadata["WORKLOAD_NAME"], c.node.Name))
	return out
}

// problems gives those of a class by what users wrote: resources name what they are made from, which may be made of
// Ingresses itself.
func (e *Engine) problems(g *classState) []model.Problem {
	var out []model.Problem
	for _, p := range g.problems() {
		out = append(out, e.written(p)...)
	}
	return out
}

// written gives a problem of what users wrote.
func (e *Engine) written(p model.Problem) []model.Problem {
	var o *model.Object
	if p.Reason == model.ReasonRejected {
		o = e.opts.object(p.Object)
	}
	if o == nil {
		return []model.Problem{p}
	}
	var out []model.Problem
	for _, written := range o.Written() {
		p.Object, p.Origin = written.Object, written.Origin
		out = append(out, p)
	}
	return out
}

// Refusals are by type what is not in force of a class's configuration, since a proxy refused it, and what is instead.
type Refusals map[resource.Type][]model.Problem

// Refusals gives those of the client's class; nil for none.
func (c *Client) Refusals() Refusals {
	e := c.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(c.class.rejected) == 0 {
		return nil
	}
	out := Refusals{}
	for t, refused := range c.class.refused() {
		for _, p := range problemsOf(refused) {
			out[resource.Type(t)] = append(out[resource.Type(t)], e.written(p)...)
		}
	}
	for _, all := range out {
		slices.SortFunc(all, model.CompareProblems)
	}
	return out
}

func (o *Options) object(k model.Key) *model.Object {
	if o.Object == nil {
		return nil
	}
	return o.Object(k)
}

// reportNew does so where a class with its first client has a problem that was not reported yet, or not of it. It also
// does where nobody of the client's kind was there, who may have none of those that were reported.
func (e *Engine) reportNew(c *Client) {
	g, by := c.class, c.holder()
	if len(e.reported) > 0 && !by.Within(e.holders) {
		e.report()
		return
	}
	if len(g.clients) > 1 {
		return
	}
	for _, p := range slices.Concat(e.problems(g), g.shared) {
		at, found := slices.BinarySearchFunc(e.reported, p, model.CompareProblems)
		if !found || e.reported[at].OfAnyone() != p || !e.reported[at].Scope.Has(by) {
			e.report()
			return
		}
	}
}
