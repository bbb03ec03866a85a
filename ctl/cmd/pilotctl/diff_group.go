package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// alike is proxies that change alike.
type alike struct {
	Proxies []seat           `json:"proxies"`
	Changes []explain.Change `json:"changes"`

	whole    map[section]int // how many proxies there are of each kind and namespace
	replicas map[seat]int    // and of each workload
}

// seat is where a proxy is.
type seat struct {
	Kind      model.ProxyType `json:"kind"` // sidecar or router
	Namespace string          `json:"namespace"`
	Workload  string          `json:"workload"`
	Pod       string          `json:"pod,omitempty"` // of a proxy that runs
}

// section is the proxies of a kind in a namespace.
type section struct {
	kind      model.ProxyType
	namespace string
}

func (s seat) compare(o seat) int {
	return cmp.Or(cmp.Compare(s.Kind, o.Kind), cmp.Compare(s.Namespace, o.Namespace), cmp.Compare(s.Workload, o.Workload), cmp.Compare(s.Pod, o.Pod))
}

// compareProxies gives the groups of proxies that change. tell is told what is done.
func compareProxies(ctx context.Context, before, after *analyze.Translation, d *explain.Differ, tell func(string)) ([]*alike, error) {
	a, b := proxiesOf(before), proxiesOf(after)
	all := maps.Clone(a)
	maps.Copy(all, b)
	seats := slices.SortedFunc(maps.Keys(all), seat.compare)
	whole, replicas := map[section]int{}, map[seat]int{}
	for _, at := range seats {
		whole[section{at.Kind, at.Namespace}]++
		replicas[at.workload()]++
	}
	of, by := map[[2]string]*alike{}, map[string]*alike{} // by classes, and by lines
	sides := compared{before, after}
	var out []*alike
	for i, at := range seats {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		tell(fmt.Sprintf("compares proxies: %d of %d, %d requests tried", i, len(seats), d.Trials))
		pair := [2]string{a[at].Class, b[at].Class}
		g, known := of[pair]
		if !known {
			if changes := sides.changes(d, a[at], b[at]); len(changes) > 0 {
				key := linesOf(changes)
				if g = by[key]; g == nil {
					g = &alike{Changes: changes, whole: whole, replicas: replicas}
					by[key], out = g, append(out, g)
				}
			}
			of[pair] = g
		}
		if g != nil {
			g.Proxies = append(g.Proxies, at)
		}
	}
	return out, nil
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

func linesOf(changes []explain.Change) string {
	var b strings.Builder
	for _, c := range changes {
		b.WriteString("  " + c.String() + "\n")
	}
	return b.String()
}

// Of more than alikeMost lines that say the same of one host, or of one kind of thing, only alikeShown are printed.
const alikeMost, alikeShown = 4, 3

// shortened gives the lines of changes, of many alike the first.
func shortened(changes []explain.Change) string {
	all := map[likeness][]explain.Change{}
	for _, c := range changes {
		all[likenessOf(c)] = append(all[likenessOf(c)], c)
	}
	said := map[likeness]int{}
	var b strings.Builder
	for _, c := range changes {
		at := likenessOf(c)
		said[at]++
		switch n := said[at]; {
		case at.kind == "" || len(all[at]) <= alikeMost || n <= alikeShown:
			b.WriteString("  " + c.String() + "\n")
		case n == alikeShown+1:
			rest := all[at][alikeShown:]
			fmt.Fprintf(&b, "  and %d more %s%s: %s\n", len(rest), at.kind, hostsOfAll(rest), at.becomes)
		}
	}
	return b.String()
}

// likeness is by what changes are alike.
type likeness struct {
	kind    string // of which there are many, in the plural; empty for what is told by itself
	becomes string // what is said of it
}

func likenessOf(c explain.Change) likeness {
	_, becomes, _ := strings.Cut(c.String(), ": ")
	if c.Request == "" {
		name, _, _ := strings.Cut(c.Resource, " ")
		return likeness{pluralOf[name], becomes}
	}
	out := likeness{becomes: strings.TrimPrefix(c.String(), c.Request+": ")}
	switch {
	case hostAsked(c) != "":
		out.kind = "requests"
	case strings.HasPrefix(c.Request, "tcp://"), strings.HasPrefix(c.Request, "tls://"):
		out.kind = "connections"
	case strings.HasPrefix(c.Request, "any request to "), c.Request == "any request that comes in":
		out.kind = "destinations" // whose requests are told of together
	}
	return out
}

// pluralOf are the words for resources.
var pluralOf = map[string]string{"listener": "listeners", "cluster": "clusters", "routes": "route configurations", "endpoints": "lists of endpoints", "secret": "secrets"}

// hostAsked gives the scheme and the host that a request is for; empty for what is no request to one.
func hostAsked(c explain.Change) string {
	method, url, ok := strings.Cut(c.Request, " ")
	scheme, rest, isURL := strings.Cut(url, "://")
	if !ok || !isURL || strings.ToUpper(method) != method {
		return ""
	}
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// hostsOfAll says to what hosts requests are; "" for what is no request to one.
func hostsOfAll(requests []explain.Change) string {
	places, hosts := map[string]bool{}, map[string]bool{}
	for _, c := range requests {
		at := hostAsked(c)
		places[at], hosts[withoutPort.ReplaceAllString(at, "")] = true, true
	}
	first := hostAsked(requests[0])
	switch {
	case first == "":
		return ""
	case len(places) == 1:
		return " to " + first
	case len(hosts) == 1:
		return " to " + withoutPort.ReplaceAllString(first, "")
	}
	return fmt.Sprintf(" to %d hosts", len(hosts))
}

var withoutPort = regexp.MustCompile(`:[0-9]+$`)

func printDiff(w io.Writer, output string, groups []*alike) error {
	if output != "lines" {
		return printDocument(w, proxyconfig.Format(output), map[string][]*alike{"groups": append([]*alike{}, groups...)})
	}
	for _, g := range groups {
		if _, err := fmt.Fprintf(w, "%s\n%s", g.head(), shortened(g.Changes)); err != nil {
			return err
		}
	}
	return nil
}

// namedMost is how many workloads of a group are named.
const namedMost = 3

// head says whose changes follow.
func (g *alike) head() string {
	by := map[section][]seat{}
	var order []section
	for _, s := range g.Proxies {
		at := section{s.Kind, s.Namespace}
		if by[at] == nil {
			order = append(order, at)
		}
		by[at] = append(by[at], s)
	}
	var out []string
	for _, at := range order {
		out = append(out, g.part(at, by[at]))
	}
	return strings.Join(out, "; ")
}

// part says which proxies of a section are in the group.
func (g *alike) part(at section, seats []seat) string {
	var names []string
	for _, s := range seats {
		name := s.Workload
		if s.Pod != "" && !g.alone(s) {
			name += " (" + s.Pod + ")"
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	switch n := len(names); {
	case n == 1:
		return fmt.Sprintf("%s %s.%s", at.kind, names[0], at.namespace)
	case n <= namedMost:
		return fmt.Sprintf("%ss of namespace %s: %s", at.kind, at.namespace, strings.Join(names, ", "))
	case len(seats) == g.whole[at]:
		return fmt.Sprintf("all %d %ss of namespace %s", len(seats), at.kind, at.namespace)
	default:
		return fmt.Sprintf("%d of %d %ss of namespace %s: %s and %d more", len(seats), g.whole[at], at.kind, at.namespace,
			strings.Join(names[:namedMost-1], ", "), n-namedMost+1)
	}
}

// alone tells whether all proxies of a workload are in the group, so that no pod has to be named.
func (g *alike) alone(s seat) bool {
	own := 0
	for _, o := range g.Proxies {
		if o.workload() == s.workload() {
			own++
		}
	}
	return own == g.replicas[s.workload()]
}

// workload gives the seat without the pod.
func (s seat) workload() seat {
	s.Pod = ""
	return s
}
