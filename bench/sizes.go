package bench

import (
	"fmt"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/bench/plot"
)

// What "costs the same" leaves as room between the largest mesh and the smallest: CPU time varies
// from run to run, allocations hardly do.
const mostGrowth, mostMoreAllocs = 1.2, 1.1

// find gives a scenario's result in a series, or nil.
func find(all []*Measured, series, scenario string) *Result {
	i := slices.IndexFunc(all, func(s *Measured) bool { return s.Options.Name == series })
	if i < 0 {
		return nil
	}
	return all[i].Result(scenario)
}

// growth are the goals of P11 that compare meshes of several sizes. What clients that see everything
// get of a route or a service grows with the mesh, since it is in a route configuration of all hosts;
// so these are no goals.
func growth(all []*Measured) []Goal {
	var out []Goal
	smallest, largest := sizes[0], sizes[len(sizes)-1]
	for _, scoped := range []bool{true, false} {
		for _, scenario := range sized() {
			name := sizeSeries(largest, scoped)
			if !slices.ContainsFunc(all, func(s *Measured) bool { return s.Options.Name == name }) ||
				!scoped && scenario != scenarioEndpoint && scenario != scenarioRuleOne {
				continue
			}
			few, many := find(all, sizeSeries(smallest, scoped), scenario), find(all, name, scenario)
			grows := func(what string, most float64, get func(*Result) float64) {
				g := Goal{
					ID: "P11", Series: name, Unit: "x", Most: most,
					What: fmt.Sprintf("%s: %s, to that with %d services", scenario, what, smallest),
				}
				if few != nil && many != nil && get(few) > 0 {
					g.judge(get(many) / get(few))
				}
				out = append(out, g)
			}
			grows(cpuTime, mostGrowth, costBySize)
			grows("server's allocations", mostMoreAllocs, func(x *Result) float64 { return per(x.Allocs, float64(x.Changes)) })
		}
	}
	return out
}

// bySize draws a figure of the same changes in meshes of several sizes.
func (r *Report) bySize(title, axis string, get func(*Result) float64) *plot.Chart {
	c := &plot.Chart{Title: title, Subtitle: r.Machine.String(), Axis: axis + ", logarithmic", Log: true}
	for _, n := range sizes {
		c.Names = append(c.Names, fmt.Sprintf("%d services", n))
	}
	for _, scoped := range []bool{true, false} {
		who := "scoped"
		if !scoped {
			who = "unscoped"
		}
		for _, scenario := range sized() {
			g := plot.Group{Label: fmt.Sprintf("%s, %s", scenario, who)}
			for _, n := range sizes {
				bar := plot.Bar{}
				if x := find(r.Series, sizeSeries(n, scoped), scenario); x != nil {
					bar.Value = get(x)
				}
				g.Bars = append(g.Bars, bar)
			}
			if slices.ContainsFunc(g.Bars, func(b plot.Bar) bool { return b.Value > 0 }) {
				c.Groups = append(c.Groups, g)
			}
		}
	}
	return c
}

// costBySize is the CPU time of a change in milliseconds.
func costBySize(x *Result) float64 { return 1000 * per(x.ServerCPU, float64(x.Changes)) }

func latencyBySize(x *Result) float64 {
	if x.Last == nil {
		return 0
	}
	return x.Last.P50
}
