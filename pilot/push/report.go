package push

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// report hands over the problems of all views, each once. The caller holds the mutex.
func (e *Engine) report() {
	if e.opts.Report == nil {
		return
	}
	var all []model.Problem
	seen := map[*model.Problem]struct{}{} // first of a list that several classes share
	for _, g := range e.classes {
		if len(g.clients) == 0 {
			continue
		}
		all = append(all, e.problems(g)...)
		if len(g.shared) == 0 {
			continue
		}
		if _, ok := seen[&g.shared[0]]; !ok {
			seen[&g.shared[0]] = struct{}{}
			all = append(all, g.shared...)
		}
	}
	slices.SortFunc(all, model.CompareProblems)
	e.reported, e.left = slices.Compact(all), false
	e.opts.Report(e.reported)
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
	for id, r := range c.class.rejected {
		for _, p := range r.problems {
			out[id.typ] = append(out[id.typ], e.written(p)...)
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

// reportNew does so where a class with its first client has a problem that was not reported yet.
func (e *Engine) reportNew(g *classState) {
	for _, p := range slices.Concat(e.problems(g), g.shared) {
		at, found := slices.BinarySearchFunc(e.reported, p, model.CompareProblems)
		if !found || e.reported[at] != p {
			e.report()
			return
		}
	}
}
