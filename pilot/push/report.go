package push

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
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
		var o *model.Object
		if p.Reason == model.ReasonRejected {
			o = e.opts.object(p.Object)
		}
		if o == nil {
			out = append(out, p)
			continue
		}
		for _, written := range o.Written() {
			p.Object, p.Origin = written.Object, written.Origin
			out = append(out, p)
		}
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
