package authz

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/witness"
)

// Caller is somebody whom rules tell apart from others. What is not set is as with anybody.
type Caller struct {
	Name string // in the words of policies; "" for a workload of the mesh that no rule is about
	// Clear tells that the caller shows no certificate. Else Identity is in it.
	Clear          bool
	Identity       string
	Source, Client netip.Addr
	Claims         map[string]any
	Headers        map[string]string
}

// Operation is something to ask for that rules tell apart. What is not set is as with any request.
type Operation struct {
	Method, Host, Path string
	ServerName         string     // in the TLS handshake
	Local              netip.Addr // that is connected to
}

// Usual is what calls have about which nothing else is said.
type Usual struct {
	// TrustDomain is that of the workloads which call, "" where no caller has a certificate. Port is what they call.
	TrustDomain string
	Port        uint32
	// Hosts are those that are asked for. One that no rule names stands for all such.
	Hosts []string
	// Callers are tried whatever rules say.
	Callers []Caller
}

// Telling has callers and operations by which two lists of rules are told apart: where the lists decide otherwise about
// some call, they do so about one of a caller and an operation of these. Two callers, or two operations, that are alike
// for all rules are there once. Regular expressions are followed as far as texts for them are found.
type Telling struct {
	Callers       []Caller
	Operations    []Operation
	before, after []deciding
	from, to      []witness.Bits // rules that are about each caller, and each operation
}

// deciding is a filter, with its rules by their numbers.
type deciding struct {
	action        ir.RBACAction
	rules, shadow []int
	bound         bool // it has rules in force, even if there are none
	provider      string
}

// toldMost bounds how many callers and operations there are, each.
const toldMost = 400

// Tell finds the callers and operations by which the rules of two lists of filters are told apart.
func Tell(before, after []*ir.RBAC, usual Usual) *Telling {
	t := &Telling{}
	var rules []ir.RBACRule
	number := func(all *ir.RBACRules) (out []int) {
		if all != nil {
			for _, r := range *all {
				out = append(out, len(rules))
				rules = append(rules, r)
			}
		}
		return out
	}
	list := func(filters []*ir.RBAC) (out []deciding) {
		for _, f := range filters {
			d := deciding{action: f.Action, provider: f.Provider, bound: f.Rules != nil, rules: number(f.Rules)}
			if f.Provider != "" {
				d.shadow = number(f.Shadow)
			}
			out = append(out, d)
		}
		return out
	}
	t.before, t.after = list(before), list(after)
	t.tellCallers(newTable(rules, func(r ir.RBACRule) []ir.RBACAlternative { return r.From }), usual)
	t.tellOperations(newTable(rules, func(r ir.RBACRule) []ir.RBACAlternative { return r.To }), usual)
	return t
}

func (t *Telling) tellCallers(table *table, usual Usual) {
	fields := []*field{
		identities(table, usual.TrustDomain),
		addresses(table, func(k ir.RBACCondition) (netip.Prefix, bool) { a, ok := k.(ir.PeerAddress); return a.Prefix, ok }, func(c *Caller, a netip.Addr) { c.Source = a }, "source address "),
		addresses(table, func(k ir.RBACCondition) (netip.Prefix, bool) { a, ok := k.(ir.ClientAddress); return a.Prefix, ok }, func(c *Caller, a netip.Addr) { c.Client = a }, "client address "),
		tokens(table),
	}
	for _, name := range table.headers() {
		fields = append(fields, header(table, name))
	}
	add := func(c Caller) {
		t.Callers = append(t.Callers, c)
		t.from = append(t.from, table.rules(c.call()))
	}
	for _, c := range usual.Callers {
		add(c)
	}
	seen := map[witness.Bits]bool{}
	for _, choice := range table.combine(fields) {
		c, names := Caller{}, []string(nil)
		for i, at := range choice.Values {
			v := fields[i].values[at]
			v.set(&c, nil)
			if v.name != "" {
				names = append(names, v.name)
			}
		}
		about := table.rulesOf(choice.Rules)
		if c.Name = strings.Join(names, " and "); c.Name == "" || seen[about] {
			continue // somebody whom no rule is about is among the usual ones
		}
		seen[about] = true
		t.Callers = append(t.Callers, c)
		t.from = append(t.from, about)
	}
}

func (t *Telling) tellOperations(table *table, usual Usual) {
	table.fix(func(k ir.RBACCondition) (holds, known bool) {
		p, ok := k.(ir.LocalPort)
		return ok && p.Port == usual.Port, ok
	})
	fields := []*field{
		texts(table, headerNamed(":method"), tokenForm, func(o *Operation, v string) { o.Method = v }, methods...),
		texts(table, requestPath, PathForm, func(o *Operation, v string) { o.Path = v }, paths...),
		texts(table, headerNamed(":authority"), hostForm, func(o *Operation, v string) { o.Host = v }, usual.Hosts...),
		texts(table, serverName, hostForm, func(o *Operation, v string) { o.ServerName = v }, ""),
		localAddresses(table),
	}
	for _, choice := range table.combine(fields) {
		o := Operation{}
		for i, at := range choice.Values {
			if at > 0 { // the first is as with any request
				fields[i].values[at].set(nil, &o)
			}
		}
		t.Operations = append(t.Operations, o)
		t.to = append(t.to, table.rulesOf(choice.Rules))
	}
}

// call is that of a caller, whatever it asks for.
func (c *Caller) call() *Call {
	return &Call{Identity: c.Identity, Peer: c.Source, Client: c.Client, Request: &Request{Headers: c.Headers, Claims: c.Claims}}
}

// Differ tells whether the two lists decide otherwise about a call of a caller and an operation, by their places.
func (t *Telling) Differ(caller, operation int) bool {
	is := func(rule int) bool { return t.from[caller].Has(rule) && t.to[operation].Has(rule) }
	return decided(t.before, is) != decided(t.after, is)
}

// decided says in short what filters do with what some rules are about.
func decided(filters []deciding, is func(rule int) bool) string {
	asked := ""
	for _, f := range filters {
		if slices.ContainsFunc(f.shadow, is) {
			asked += f.provider + ","
		}
		matches := slices.ContainsFunc(f.rules, is)
		if f.bound && (f.action == ir.RBACDeny && matches || f.action == ir.RBACAllow && !matches) {
			return asked + "denied"
		}
	}
	return asked
}

// NamedPorts gives the ports that rules are about.
func NamedPorts(filters []*ir.RBAC) []uint32 {
	var out []uint32
	for _, f := range filters {
		for _, rules := range []*ir.RBACRules{f.Rules, f.Shadow} {
			if rules == nil {
				continue
			}
			for _, r := range *rules {
				for _, c := range slices.Concat(r.To...) {
					for _, k := range flat(c.AnyOf) {
						if p, ok := k.(ir.LocalPort); ok {
							out = append(out, p.Port)
						}
					}
				}
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}
