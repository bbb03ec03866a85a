package authz

import (
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// Caller is somebody whom rules tell apart from others. What is not set is as with anybody.
type Caller struct {
	Name           string // in the words of a policy
	Identity       string
	Source, Client netip.Addr
	Claims         map[string]any
	Headers        map[string]string
}

// Operation is something to ask for that rules tell apart. What is not set is as with any request.
type Operation struct {
	Method, Host, Path string
	Headers            map[string]string
}

// mentionedMost bounds how many callers and operations rules give, each.
const mentionedMost = 32

// Usual is what calls have about which nothing else is said.
type Usual struct {
	// TrustDomain is that of the workloads which call.
	TrustDomain string
	// Hosts are those that are asked for. One that no rule names stands for all such.
	Hosts []string
}

// Mentioned gives the callers and operations that rules are about: one for each list of a rule together with the
// other lists of its alternative, and one for each further value. Then come operations that the lists leave out. What
// only a regular expression tells apart is not among them, unless it is one that stands for a field of policies.
func Mentioned(filters []*ir.RBAC, usual Usual) (callers []Caller, operations []Operation) {
	var to []ir.RBACAlternative
	for _, r := range deciding(filters) {
		for _, from := range r.From {
			callers = append(callers, callersOf(from, usual.TrustDomain)...)
		}
		to = append(to, r.To...)
	}
	for _, a := range to {
		operations = append(operations, operationsOf(a)...)
	}
	same := func(a, b Caller) bool { return a.Name == b.Name }
	alike := func(a, b Operation) bool {
		return a.Method == b.Method && a.Host == b.Host && a.Path == b.Path && maps.Equal(a.Headers, b.Headers)
	}
	others := few(leftOut(to, usual), leftOutMost, alike)
	operations = append(few(operations, mentionedMost-len(others), alike), others...)
	return few(callers, mentionedMost, same), few(operations, mentionedMost, alike)
}

// deciding gives the rules of filters but for those on trial, which decide nothing.
func deciding(filters []*ir.RBAC) []ir.RBACRule {
	var out []ir.RBACRule
	for _, f := range filters {
		if f.Rules != nil {
			out = append(out, *f.Rules...)
		}
		if f.Shadow != nil && f.Provider != "" {
			out = append(out, *f.Shadow...)
		}
	}
	return out
}

// few gives each once, and not more than most.
func few[T any](all []T, most int, same func(a, b T) bool) []T {
	var out []T
	for _, x := range all {
		if len(out) < most && !slices.ContainsFunc(out, func(o T) bool { return same(o, x) }) {
			out = append(out, x)
		}
	}
	return out
}

// choices gives for an alternative the conditions that hold together: the first of each clause, and then each other
// one, also of a clause that is inverted, in its place.
func choices(a ir.RBACAlternative) [][]ir.RBACCondition {
	out := [][]ir.RBACCondition{pick(a, -1)}
	for i, c := range a {
		for j, k := range c.AnyOf {
			if c.Not || j > 0 {
				out = append(out, pick(a, i, k))
			}
		}
	}
	return out
}

// pick gives the first condition of each clause that is not inverted, with others in the place of that of one clause.
// These come last, so that of what contradicts them they count.
func pick(a ir.RBACAlternative, which int, others ...ir.RBACCondition) []ir.RBACCondition {
	var out []ir.RBACCondition
	for i, c := range a {
		if i != which && !c.Not && len(c.AnyOf) > 0 {
			out = append(out, c.AnyOf[0])
		}
	}
	return append(out, others...)
}

// callersOf gives callers, each by the name of those conditions that hold for it.
func callersOf(a ir.RBACAlternative, domain string) []Caller {
	var out []Caller
	for _, conditions := range choices(a) {
		c, names := Caller{}, []string(nil)
		conditions = flat(conditions)
		for _, k := range conditions {
			c.meet(k, domain)
		}
		call := Call{Identity: c.Identity, Peer: c.Source, Client: c.Client, Request: &Request{Headers: c.Headers, Claims: c.Claims}}
		for _, k := range conditions {
			if call.is(k) {
				names = append(names, condition(k))
			}
		}
		if c.Name = strings.Join(names, " and "); c.Name != "" {
			out = append(out, c)
		}
	}
	return out
}

func operationsOf(a ir.RBACAlternative) []Operation {
	var out []Operation
	for _, conditions := range choices(a) {
		o, met := Operation{}, false
		for _, k := range flat(conditions) {
			met = o.meet(k) || met
		}
		if met {
			out = append(out, o)
		}
	}
	return out
}

// flat gives conditions with those that have to hold together one by one.
func flat(conditions []ir.RBACCondition) []ir.RBACCondition {
	var out []ir.RBACCondition
	for _, k := range conditions {
		if all, ok := k.(ir.Together); ok {
			out = append(out, flat(all)...)
		} else {
			out = append(out, k)
		}
	}
	return out
}

// meet makes the caller one for whom a condition holds, if it can, and of the trust domain if it may be.
func (c *Caller) meet(k ir.RBACCondition, domain string) {
	switch k := k.(type) {
	case ir.PeerIdentity:
		if c.Identity == "" || !matches(k.Name, c.Identity) {
			c.Identity = identityLike(k.Name, domain)
		}
	case ir.PeerAddress:
		c.Source = k.Prefix.Addr()
	case ir.ClientAddress:
		c.Client = k.Prefix.Addr()
	case ir.RequestHeader:
		if v, ok := example(k.Value); ok {
			c.Headers = with(c.Headers, k.Name, v)
		}
	case ir.RequestMetadata:
		v, ok := example(k.Value)
		if !ok || k.Filter != httpfilter.JWT || len(k.Path) < 2 {
			return
		}
		if c.Claims == nil {
			c.Claims = map[string]any{}
		}
		claim(c.Claims, k, v)
	}
}

// claim sets the claim that a condition is about.
func claim(claims map[string]any, k ir.RequestMetadata, value string) {
	for _, name := range k.Path[1 : len(k.Path)-1] {
		inner, ok := claims[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			claims[name] = inner
		}
		claims = inner
	}
	claims[k.Path[len(k.Path)-1]] = value
	if k.OnlyList {
		claims[k.Path[len(k.Path)-1]] = []any{value}
	}
}

// meet makes the operation one for which a condition holds, and tells whether it could.
func (o *Operation) meet(k ir.RBACCondition) bool {
	switch k := k.(type) {
	case ir.RequestPath:
		v, ok := example(k.Path)
		if ok && !strings.HasPrefix(v, "/") {
			v = "/" + v
		}
		if ok {
			o.Path = v
		}
		return ok
	case ir.RequestHeader:
		v, ok := example(k.Value)
		if !ok {
			return false
		}
		switch k.Name {
		case ":method":
			if o.Method = v; k.Value.Kind != ir.MatchExact {
				o.Method = ""
			}
		case ":authority":
			if o.Host = v; k.Value.Kind == ir.MatchSuffix {
				o.Host = anything + v
			}
		default:
			o.Headers = with(o.Headers, k.Name, v)
		}
		return true
	}
	return false
}

func with(m map[string]string, name, value string) map[string]string {
	out := maps.Clone(m)
	if out == nil {
		out = map[string]string{}
	}
	out[strings.ToLower(name)] = value
	return out
}

// anything stands for a name that nobody has asked for.
const anything = "any"

// example gives a text for which a match holds; ok is false where that is not plain.
func example(m ir.StringMatch) (text string, ok bool) {
	switch m.Kind {
	case ir.MatchExact, ir.MatchPrefix, ir.MatchSuffix:
		return m.Value, true
	case ir.MatchRegex:
		return anything, m.Value == ".+" || m.Value == ".*"
	}
	return anything, true
}

// AnyIdentity is that of a workload of a trust domain which no policy names.
func AnyIdentity(domain string) string { return accountOf(domain, anything, anything) }

func accountOf(domain, namespace, account string) string {
	return scheme + domain + "/ns/" + namespace + "/sa/" + account
}

// identityLike gives an identity for which a match holds, of a trust domain where any would do; "" where that is not
// plain.
func identityLike(m ir.StringMatch, domain string) string {
	plain := func(s string) string { return strings.ReplaceAll(unquoted.Replace(s), "*", anything) }
	if m.Kind == ir.MatchRegex {
		if matches(m, AnyIdentity(domain)) {
			return AnyIdentity(domain)
		}
		if found := ofNamespace.FindStringSubmatch(m.Value); found != nil {
			return accountOf(domain, plain(found[1]), anything)
		}
		if found := ofAccount.FindStringSubmatch(m.Value); found != nil {
			return accountOf(domain, plain(found[1]), plain(found[2]))
		}
		if found := ofTrustDomain.FindStringSubmatch(m.Value); found != nil {
			return AnyIdentity(plain(found[1]))
		}
		if rest, ok := strings.CutPrefix(m.Value, scheme+".*"); ok {
			return scheme + domain + strings.ReplaceAll(rest, `\`, "")
		}
	}
	v, ok := example(m)
	switch {
	case !ok:
		return ""
	case v == anything:
		return AnyIdentity(domain)
	case m.Kind == ir.MatchPrefix && strings.HasSuffix(v, "/"):
		return v + "sa/" + anything
	}
	return v
}
