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

// Mentioned gives the callers and operations that rules are about: one for each list of a rule together with the
// other lists of its alternative, and one for each further value. What only a regular expression tells apart is left
// out, unless it is one that stands for a field of policies.
func Mentioned(filters []*ir.RBAC) (callers []Caller, operations []Operation) {
	for _, f := range filters {
		for _, rules := range []*ir.RBACRules{f.Rules, f.Shadow} {
			if rules == nil || rules == f.Shadow && f.Provider == "" {
				continue // what is on trial decides nothing
			}
			for _, r := range *rules {
				for _, from := range r.From {
					callers = append(callers, callersOf(from)...)
				}
				for _, to := range r.To {
					operations = append(operations, operationsOf(to)...)
				}
			}
		}
	}
	same := func(a, b Caller) bool { return a.Name == b.Name }
	alike := func(a, b Operation) bool {
		return a.Method == b.Method && a.Host == b.Host && a.Path == b.Path && maps.Equal(a.Headers, b.Headers)
	}
	return few(callers, same), few(operations, alike)
}

// few gives each once, and not too many.
func few[T any](all []T, same func(a, b T) bool) []T {
	var out []T
	for _, x := range all {
		if len(out) < mentionedMost && !slices.ContainsFunc(out, func(o T) bool { return same(o, x) }) {
			out = append(out, x)
		}
	}
	return out
}

// choices gives for an alternative the conditions that hold together: the first of each clause, and then each other
// one, also of a clause that is inverted, in its place.
func choices(a ir.RBACAlternative) [][]ir.RBACCondition {
	pick := func(which, condition int) []ir.RBACCondition {
		var out []ir.RBACCondition
		for i, c := range a {
			switch {
			case i == which:
				out = append(out, c.AnyOf[condition])
			case !c.Not && len(c.AnyOf) > 0:
				out = append(out, c.AnyOf[0])
			}
		}
		return out
	}
	out := [][]ir.RBACCondition{pick(-1, 0)}
	for i, c := range a {
		for j := range c.AnyOf {
			if c.Not || j > 0 {
				out = append(out, pick(i, j))
			}
		}
	}
	return out
}

func callersOf(a ir.RBACAlternative) []Caller {
	var out []Caller
	for _, conditions := range choices(a) {
		c, names := Caller{}, []string(nil)
		for _, k := range flat(conditions) {
			if c.meet(k) {
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

// meet makes the caller one for whom a condition holds, and tells whether it could.
func (c *Caller) meet(k ir.RBACCondition) bool {
	switch k := k.(type) {
	case ir.PeerIdentity:
		id := identityLike(k.Name)
		c.Identity = id
		return id != ""
	case ir.PeerAddress:
		c.Source = k.Prefix.Addr()
		return true
	case ir.ClientAddress:
		c.Client = k.Prefix.Addr()
		return true
	case ir.RequestHeader:
		v, ok := example(k.Value)
		if ok {
			c.Headers = with(c.Headers, k.Name, v)
		}
		return ok
	case ir.RequestMetadata:
		v, ok := example(k.Value)
		if !ok || k.Filter != httpfilter.JWT || len(k.Path) < 2 {
			return false
		}
		if c.Claims == nil {
			c.Claims = map[string]any{}
		}
		claim(c.Claims, k, v)
		return true
	}
	return false
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
	out[name] = value
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

// AnyIdentity is that of a workload of the mesh which no policy names.
const AnyIdentity = scheme + "cluster.local/ns/" + anything + "/sa/" + anything

// identityLike gives an identity for which a match holds; "" where that is not plain.
func identityLike(m ir.StringMatch) string {
	plain := func(s string) string { return strings.ReplaceAll(unquoted.Replace(s), "*", anything) }
	if m.Kind == ir.MatchRegex {
		if found := ofNamespace.FindStringSubmatch(m.Value); found != nil {
			return scheme + "cluster.local/ns/" + plain(found[1]) + "/sa/" + anything
		}
		if found := ofAccount.FindStringSubmatch(m.Value); found != nil {
			return scheme + "cluster.local/ns/" + plain(found[1]) + "/sa/" + plain(found[2])
		}
		if found := ofTrustDomain.FindStringSubmatch(m.Value); found != nil {
			return scheme + plain(found[1]) + "/ns/" + anything + "/sa/" + anything
		}
		if rest, ok := strings.CutPrefix(m.Value, scheme+".*"); ok {
			return scheme + "cluster.local" + strings.ReplaceAll(rest, `\`, "")
		}
	}
	v, ok := example(m)
	switch {
	case !ok:
		return ""
	case v == anything:
		return AnyIdentity
	case m.Kind == ir.MatchPrefix && strings.HasSuffix(v, "/"):
		return v + "sa/" + anything
	}
	return v
}
