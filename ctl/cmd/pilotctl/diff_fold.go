package main

import (
	"cmp"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/ctl/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// What more than alikeMost things change alike is said of all of them in one line, which names alikeShown.
const alikeMost, alikeShown = 4, 3

// line is a change, and by number the groups of proxies that have it.
type line struct {
	explain.Change
	groups []int
}

// told is what is printed as one line: things that change alike.
type told struct {
	likeness
	of []line
}

// likeness is by what changes are alike.
type likeness struct {
	kind    string // of which there are many, in the plural; empty for what is told by itself
	becomes string // what is said of it
}

// fold gives what groups of proxies change, each thing once. What stands in a group's own changes first comes first.
func fold(groups []*alike) []told {
	all := linesOf(groups)
	many := map[likeness]int{}
	for _, l := range all {
		many[likenessOf(l.Change)]++
	}
	var out []told
	at := map[likeness]int{}
	for _, l := range all {
		as := likenessOf(l.Change)
		i, known := at[as]
		if !known || as.kind == "" || many[as] <= alikeMost {
			i, at[as] = len(out), len(out)
			out = append(out, told{likeness: as})
		}
		out[i].of = append(out[i].of, l)
	}
	return out
}

// linesOf gives the changes of groups, each once. A difference that is one of many things stands apart from what else
// changes of them.
func linesOf(groups []*alike) []line {
	spread := spreadOf(groups)
	at := map[string]int{}
	var out []line
	for g, group := range groups {
		for _, whole := range group.Changes {
			for _, c := range spread.apart(whole) {
				text := c.String()
				i, known := at[text]
				if !known {
					i, at[text] = len(out), len(out)
					out = append(out, line{Change: c})
				}
				if own := &out[i].groups; len(*own) == 0 || (*own)[len(*own)-1] != g {
					*own = append(*own, g)
				}
			}
		}
	}
	return out
}

// spread is the things that change in some way, and those that have a single difference among others.
type spread map[likeness]map[string]bool

func spreadOf(groups []*alike) spread {
	out := spread{}
	add := func(c explain.Change) {
		as := likenessOf(c)
		if out[as] == nil {
			out[as] = map[string]bool{}
		}
		out[as][c.Request+c.Resource] = true
	}
	for _, g := range groups {
		for _, c := range g.Changes {
			add(c)
			for _, d := range c.Differences {
				add(only(c, d))
			}
		}
	}
	return out
}

// only gives a change with some of its differences.
func only(c explain.Change, some ...explain.Difference) explain.Change {
	c.Differences = some
	return c
}

// apart takes a change apart: each difference that more things have than change like this one, and the rest.
func (s spread) apart(c explain.Change) []explain.Change {
	alike := len(s[likenessOf(c)])
	var rest []explain.Difference
	var out []explain.Change
	for _, d := range c.Differences {
		one := only(c, d)
		if as := likenessOf(one); as.kind != "" && len(s[as]) > max(alike, alikeMost) {
			out = append(out, one)
			continue
		}
		rest = append(rest, d)
	}
	if len(out) == 0 {
		return []explain.Change{c}
	}
	if len(rest) > 0 {
		out = append(out, only(c, rest...))
	}
	return out
}

func likenessOf(c explain.Change) likeness {
	if c.Request == "" {
		word, _, _ := strings.Cut(c.Resource, " ")
		out := likeness{pluralOf[word], strings.TrimPrefix(c.String(), c.Resource+": ")}
		if word == "routes" && !slices.ContainsFunc(c.Differences, func(d explain.Difference) bool { return !strings.HasPrefix(d.What, "host ") }) {
			out.becomes = "changed (hosts)" // which requests tell of
		}
		return out
	}
	out := likeness{becomes: strings.TrimPrefix(c.String(), c.Request+": ")}
	switch {
	case hostAsked(c) != "":
		out.kind = "requests"
	case strings.HasPrefix(c.Request, "tcp://"), strings.HasPrefix(c.Request, "tls://"):
		out.kind = "connections"
	case strings.HasPrefix(c.Request, toAnything), c.Request == "any request that comes in":
		out.kind = "destinations" // whose requests are told of together
	}
	return out
}

// toAnything begins what is said of all requests to a destination.
const toAnything = "any request to "

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

// groups gives those that have some of what is told, in order.
func (t told) groups() []int {
	var out []int
	for _, l := range t.of {
		out = append(out, l.groups...)
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// String gives the line.
func (t told) String() string {
	if len(t.of) == 1 {
		return t.of[0].String()
	}
	out := fmt.Sprintf("%d %s%s", len(t.of), t.kind, t.hosts())
	if sets := t.sets(); len(sets) > 1 {
		out += ", each proxy some of them"
	}
	return fmt.Sprintf("%s (%s, ...): %s", out, strings.Join(t.shown(), ", "), t.becomes)
}

// sets gives the first line of each set of groups that have the same of what is told.
func (t told) sets() []line {
	seen := map[string]bool{}
	var out []line
	for _, l := range t.of {
		if key := fmt.Sprint(l.groups); !seen[key] {
			seen[key] = true
			out = append(out, l)
		}
	}
	return out
}

// shown names some of many things, of different proxies where there are some.
func (t told) shown() []string {
	var out []string
	for _, l := range append(t.sets(), t.of...) {
		name := strings.TrimPrefix(l.Request, toAnything)
		if l.Request == "" {
			_, name, _ = strings.Cut(l.Resource, " ")
			name = strings.TrimPrefix(name, "of ")
		}
		if len(out) < alikeShown && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// hosts says to what hosts requests are; "" for what is no request to one.
func (t told) hosts() string {
	places, hosts := map[string]bool{}, map[string]bool{}
	for _, l := range t.of {
		at := hostAsked(l.Change)
		places[at], hosts[withoutPort.ReplaceAllString(at, "")] = true, true
	}
	first := hostAsked(t.of[0].Change)
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

// printDiff prints what groups of all proxies change: as lines each thing once, below the proxies for which it holds.
func printDiff(w io.Writer, output string, groups []*alike, all whole) error {
	if output != "lines" {
		return printDocument(w, proxyconfig.Format(output), map[string][]*alike{"groups": append([]*alike{}, groups...)})
	}
	for _, p := range paragraphs(groups) {
		if _, err := fmt.Fprintln(w, all.named(p.proxies)); err != nil {
			return err
		}
		for _, t := range p.told {
			if _, err := fmt.Fprintln(w, "  "+t.String()); err != nil {
				return err
			}
		}
	}
	return nil
}

// paragraph is what is told of the same proxies.
type paragraph struct {
	proxies []seat
	told    []told
}

// paragraphs gives what holds for the most proxies first, and of each requests before resources.
func paragraphs(groups []*alike) []paragraph {
	var out []paragraph
	at := map[string]int{}
	for _, t := range fold(groups) {
		key := fmt.Sprint(t.groups())
		i, known := at[key]
		if !known {
			i, at[key] = len(out), len(out)
			out = append(out, paragraph{})
			for _, g := range t.groups() {
				out[i].proxies = append(out[i].proxies, groups[g].Proxies...)
			}
		}
		out[i].told = append(out[i].told, t)
	}
	slices.SortStableFunc(out, func(a, b paragraph) int { return cmp.Compare(len(b.proxies), len(a.proxies)) })
	for _, p := range out {
		slices.SortStableFunc(p.told, func(a, b told) int { return cmp.Compare(a.of[0].Resource, b.of[0].Resource) })
	}
	return out
}
