package model

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Scope is for whom a problem holds that comes up as the configuration of proxies is made. The zero Scope is all whom the
// object is for. Its names are sorted and joined by commas, so that problems can be compared.
type Scope struct {
	Sidecars string // namespaces of sidecars
	Gateways string // workloads of gateways, as NAME.NAMESPACE
}

// NewScope gives a Scope of names.
func NewScope(sidecars, gateways []string) Scope {
	return Scope{joined(sidecars), joined(gateways)}
}

func joined(names []string) string {
	sorted := slices.Clone(names)
	slices.Sort(sorted)
	return strings.Join(slices.Compact(sorted), ",")
}

// Names gives the names of a Scope.
func (s Scope) Names() (sidecars, gateways []string) { return split(s.Sidecars), split(s.Gateways) }

func split(names string) []string {
	if names == "" {
		return nil
	}
	return strings.Split(names, ",")
}

// Or gives the Scope of a problem that two control planes report, each of its own proxies.
func (s Scope) Or(other Scope) Scope {
	if s == (Scope{}) || other == (Scope{}) {
		return Scope{}
	}
	return Scope{joined(append(split(s.Sidecars), split(other.Sidecars)...)), joined(append(split(s.Gateways), split(other.Gateways)...))}
}

// String names whom it is for; "" for all.
func (s Scope) String() string {
	sidecars, gateways := s.Names()
	var out []string
	if len(sidecars) > 0 {
		out = append(out, "sidecars of namespace "+few(sidecars))
	}
	if len(gateways) > 0 {
		out = append(out, "gateway "+few(gateways))
	}
	return strings.Join(out, ", and ")
}

// fewNamed is how many names a text lists.
const fewNamed = 3

func few(names []string) string {
	text := strings.Join(names[:min(len(names), fewNamed)], ", ")
	if n := len(names) - fewNamed; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// Holders is a set of proxies, as a Scope tells them apart.
type Holders struct{ sidecars, gateways map[string]bool }

// Add takes in a proxy. workload names what a gateway is a replica of.
func (a *Holders) Add(kind ProxyType, namespace, workload string) {
	if kind == RouterProxy {
		add(&a.gateways, workload+"."+namespace)
	} else {
		add(&a.sidecars, namespace)
	}
}

func add(to *map[string]bool, name string) {
	if *to == nil {
		*to = map[string]bool{}
	}
	(*to)[name] = true
}

// Join takes in those of another one.
func (a *Holders) Join(other Holders) {
	for name := range other.sidecars {
		add(&a.sidecars, name)
	}
	for name := range other.gateways {
		add(&a.gateways, name)
	}
}

// Held are problems, and who has them.
type Held struct {
	Problems []Problem
	By       Holders
}

// Scoped gives all problems, in order and each once, with the Scope of each among all proxies that there are.
func Scoped(held []Held) []Problem {
	type one struct {
		Problem
		by *Holders
	}
	var everybody Holders
	var all []one
	for i := range held {
		everybody.Join(held[i].By)
		for _, p := range held[i].Problems {
			all = append(all, one{p, &held[i].By})
		}
	}
	slices.SortFunc(all, func(a, b one) int { return CompareProblems(a.Problem, b.Problem) })
	var out []Problem
	for len(all) > 0 {
		n := 1
		for n < len(all) && all[n].Problem == all[0].Problem {
			n++
		}
		p, by := all[0].Problem, *all[0].by
		if n > 1 {
			by = Holders{}
			for _, o := range all[:n] {
				by.Join(*o.by)
			}
		}
		if !p.saysForWhom(by) && !by.covers(everybody) {
			p.Scope = NewScope(slices.Collect(maps.Keys(by.sidecars)), slices.Collect(maps.Keys(by.gateways)))
		}
		out, all = append(out, p), all[n:]
	}
	return out
}

// covers tells whether all sidecars are among them, and all gateways if any is: what sidecars go by may be no
// concern of gateways.
func (a Holders) covers(everybody Holders) bool {
	return len(a.sidecars) == len(everybody.sidecars) && (len(a.gateways) == 0 || len(a.gateways) == len(everybody.gateways))
}

// saysForWhom tells whether a problem, or what it is about, says itself who has it: one proxy that it names, those that
// the object selects, or those of its namespace, where it is no object by which others go.
func (p Problem) saysForWhom(by Holders) bool {
	switch {
	case p.Reason == ReasonRejected || p.Reason == ReasonInboundConflict || p.Object.Kind == KindGateway || p.Object.Kind == KindIngress:
		return true
	case p.Object.Kind == KindVirtualService && p.Reason == ReasonReference:
		return !strings.Contains(p.Field, ".destination") && !strings.Contains(p.Field, ".mirror") // what its gateways have
	case slices.Contains([]Kind{KindVirtualService, KindDestinationRule, KindServiceEntry, KindService}, p.Object.Kind):
		return false
	}
	for name := range by.sidecars {
		if name != p.Object.Namespace {
			return false
		}
	}
	for name := range by.gateways {
		if !strings.HasSuffix(name, "."+p.Object.Namespace) {
			return false
		}
	}
	return true
}

// Has tells whether a problem of the Scope holds for some proxies.
func (s Scope) Has(some Holders) bool {
	sidecars, gateways := s.Names()
	return s == (Scope{}) || some.Within(Holders{set(sidecars), set(gateways)})
}

func set(names []string) map[string]bool {
	out := map[string]bool{}
	for _, name := range names {
		out[name] = true
	}
	return out
}

// Within tells whether all of some proxies are among another one.
func (a Holders) Within(other Holders) bool {
	for name := range a.sidecars {
		if !other.sidecars[name] {
			return false
		}
	}
	for name := range a.gateways {
		if !other.gateways[name] {
			return false
		}
	}
	return true
}
