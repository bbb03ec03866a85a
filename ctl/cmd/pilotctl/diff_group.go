package main

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// alike is proxies that change alike.
type alike struct {
	Proxies []seat           `json:"proxies"`
	Changes []explain.Change `json:"changes"`
}

// compareProxies gives the groups of proxies that change, and all proxies. tell is told what is done.
func compareProxies(ctx context.Context, before, after *analyze.Translation, d *explain.Differ, tell func(string)) ([]*alike, []seat, error) {
	a, b := proxiesOf(before), proxiesOf(after)
	all := maps.Clone(a)
	maps.Copy(all, b)
	seats := slices.SortedFunc(maps.Keys(all), seat.compare)
	of, by := map[[2]string]*alike{}, map[string]*alike{} // by classes, and by lines
	sides := compared{before, after}
	var out []*alike
	for i, at := range seats {
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
		tell(fmt.Sprintf("compares proxies: %d of %d, %d requests tried", i, len(seats), d.Trials))
		pair := [2]string{a[at].Class, b[at].Class}
		g, known := of[pair]
		if !known {
			if changes := sides.changes(d, a[at], b[at]); len(changes) > 0 {
				key := textOf(changes)
				if g = by[key]; g == nil {
					g = &alike{Changes: changes}
					by[key], out = g, append(out, g)
				}
			}
			of[pair] = g
		}
		if g != nil {
			g.Proxies = append(g.Proxies, at)
		}
	}
	return out, seats, nil
}

// compared is what all proxies run, by two configurations.
type compared struct{ before, after *analyze.Translation }

// changes compares what a proxy runs; either may be missing.
func (of compared) changes(d *explain.Differ, before, after analyze.Proxy) []explain.Change {
	switch {
	case before.Class == "":
		added := []explain.Change{{Resource: "workload", Differences: []explain.Difference{{After: "added"}}}}
		if after.Kind == model.RouterProxy { // what it is for; a sidecar's routes are those of its mesh
			added = append(added, d.Answers(sideOf(of.after, after))...)
		}
		return added
	case after.Class == "":
		return []explain.Change{{Resource: "workload", Differences: []explain.Difference{{Before: "there", After: "removed"}}}}
	}
	return d.Diff(sideOf(of.before, before), sideOf(of.after, after))
}

// sideOf gives what a proxy runs, with the hosts that its client finds.
func sideOf(t *analyze.Translation, p analyze.Proxy) explain.Side {
	return explain.Side{Resources: p.Resources, Config: func() *explain.Config {
		c := configOf(p)
		c.Host = func(name string) *explain.Host { return hostKnown(t, p, name, nil) }
		return c
	}}
}

func proxiesOf(t *analyze.Translation) map[seat]analyze.Proxy {
	out := map[seat]analyze.Proxy{}
	for _, p := range t.Proxies {
		out[seat{p.Kind, p.Namespace, p.Name, p.Pod}] = p
	}
	return out
}

func textOf(changes []explain.Change) string {
	var b strings.Builder
	for _, c := range changes {
		b.WriteString("  " + c.String() + "\n")
	}
	return b.String()
}
