package main

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// someGroups gives groups of proxies, whose changes are of few kinds, so that many are alike.
func someGroups(r *rand.Rand) []*alike {
	var out []*alike
	for g := range 1 + r.IntN(4) {
		own := &alike{}
		for p := range 1 + r.IntN(3) {
			own.Proxies = append(own.Proxies, seat{model.SidecarProxy, "default", fmt.Sprintf("w%d-%d", g, p), ""})
		}
		for n := range 12 {
			c := explain.Change{Request: fmt.Sprintf("GET http://h%d:80/%d", n/2, n)}
			switch r.IntN(4) {
			case 0:
				continue
			case 1:
				c = explain.Change{Resource: fmt.Sprintf("listener l%d", n)}
			case 2:
				c = explain.Change{Resource: fmt.Sprintf("routes r%d", n)}
			}
			for _, what := range []string{"", "timeout", "host a:80", "retries"}[r.IntN(3):] {
				if r.IntN(2) == 0 && (c.Request != "" || what != "") {
					c.Differences = append(c.Differences, explain.Difference{What: what, Before: "1", After: fmt.Sprint(2 + r.IntN(2))})
				}
			}
			if len(c.Differences) == 0 && c.Resource != "" && r.IntN(2) == 0 {
				c.Differences = []explain.Difference{{After: "added"}}
			}
			if len(c.Differences) > 0 {
				own.Changes = append(own.Changes, c)
			}
		}
		out = append(out, own)
	}
	return out
}

// single gives the lines of a change, one for each difference.
func single(c explain.Change) []string {
	var out []string
	for _, d := range c.Differences {
		out = append(out, only(c, d).String())
	}
	return out
}

// TestWhatIsFoldedUnfolds: what is printed has of each proxy all that changes and nothing else, and each thing once.
func TestWhatIsFoldedUnfolds(t *testing.T) {
	many := 0
	for seed := range uint64(300) {
		groups := someGroups(rand.New(rand.NewPCG(seed, 1)))
		want := map[string]map[string]bool{} // lines by proxy
		for _, g := range groups {
			for _, p := range g.Proxies {
				want[p.Workload] = map[string]bool{}
				for _, c := range g.Changes {
					for _, one := range single(c) {
						want[p.Workload][one] = true
					}
				}
			}
		}
		got := map[string]map[string]bool{}
		for name := range want {
			got[name] = map[string]bool{}
		}
		lines, folded := map[string]bool{}, map[likeness]bool{}
		for _, p := range paragraphs(groups) {
			concerned := map[string]bool{}
			for _, told := range p.told {
				if lines[told.String()] {
					t.Fatalf("seed %d: %q is told twice", seed, told)
				}
				lines[told.String()] = true
				if len(told.of) > 1 {
					many++
					if folded[told.likeness] || len(told.of) <= alikeMost || !strings.HasPrefix(told.String(), fmt.Sprint(len(told.of))) {
						t.Fatalf("seed %d: %q is told twice, or is not many", seed, told)
					}
					folded[told.likeness] = true
				}
				for _, l := range told.of {
					for _, g := range l.groups {
						for _, proxy := range groups[g].Proxies {
							concerned[proxy.Workload] = true
							for _, one := range single(l.Change) {
								got[proxy.Workload][one] = true
							}
						}
					}
				}
			}
			var named []string
			for _, proxy := range p.proxies {
				named = append(named, proxy.Workload)
			}
			slices.Sort(named)
			if !slices.Equal(named, slices.Sorted(maps.Keys(concerned))) {
				t.Fatalf("seed %d: what is of %v is told of %v", seed, slices.Sorted(maps.Keys(concerned)), named)
			}
		}
		for name := range want {
			if !maps.Equal(want[name], got[name]) {
				t.Fatalf("seed %d: of %s are told\n%v, which are\n%v", seed, name, slices.Sorted(maps.Keys(got[name])), slices.Sorted(maps.Keys(want[name])))
			}
		}
	}
	if many < 100 {
		t.Errorf("only %d lines are of many things", many)
	}
}

// TestADifferenceOfManyStandsApart: a change that all have is told once, and what one of them has beside it alone.
func TestADifferenceOfManyStandsApart(t *testing.T) {
	retries := explain.Difference{What: "retries", Before: "2", After: "5"}
	of := func(host string, more ...explain.Difference) explain.Change {
		return explain.Change{Request: "GET http://" + host + ":80/", Differences: append(more, retries)}
	}
	all := whole{{model.RouterProxy, "edge", "gateway", ""}, {model.SidecarProxy, "default", "a", ""}, {model.SidecarProxy, "default", "b", ""}}
	groups := []*alike{
		{Proxies: all[:1], Changes: []explain.Change{of("x.com")}},
		{Proxies: all[1:2], Changes: []explain.Change{of("a"), of("b"), of("c"), of("d")}},
		{Proxies: all[2:], Changes: []explain.Change{of("a"), of("b"), of("c"), of("d", explain.Difference{What: "timeout", Before: "1s", After: "3s"})}},
	}
	var out strings.Builder
	if err := printDiff(&out, "lines", groups, all); err != nil {
		t.Fatal(err)
	}
	want := `all 3 proxies
  5 requests to 5 hosts, each proxy some of them (GET http://x.com:80/, GET http://a:80/, GET http://b:80/, ...): retries 2 -> 5
sidecar b.default
  GET http://d:80/: timeout 1s -> 3s
`
	if out.String() != want {
		t.Errorf("printed is\n%s", &out)
	}
}

// TestWhoIsNamed: the shorter of who some proxies are, and who they are not.
func TestWhoIsNamed(t *testing.T) {
	var all whole
	for _, w := range strings.Fields("a b c d e f") {
		all = append(all, seat{model.SidecarProxy, "default", w, ""})
	}
	all = append(all, seat{model.SidecarProxy, "foo", "x", "x-1"}, seat{model.SidecarProxy, "foo", "x", "x-2"}, seat{model.RouterProxy, "edge", "gateway", ""})
	for want, some := range map[string][]seat{
		"all 9 proxies":                                                     all,
		"all 9 proxies but sidecar x (x-2).foo":                             slices.Delete(slices.Clone(all), 7, 8),
		"all 9 proxies but router gateway.edge":                             all[:8],
		"all 6 sidecars of namespace default":                               all[:6],
		"all 6 sidecars of namespace default but f":                         all[:5],
		"router gateway.edge; sidecar x.foo":                                all[6:],
		"sidecars of namespace default: a, b":                               all[:2],
		"router gateway.edge; sidecar a.default":                            {all[8], all[0]},
		"all 6 sidecars of namespace default but b, f; sidecar x (x-1).foo": {all[0], all[2], all[3], all[4], all[6]},
	} {
		if got := all.named(some); got != want {
			t.Errorf("named %q, not %q", got, want)
		}
	}
}
