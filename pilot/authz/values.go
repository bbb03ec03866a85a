package authz

import (
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/witness"
	"github.com/pilothouse-mesh/pilothouse/proto/httpfilter"
)

// anything stands for a name that nobody has asked for.
const anything = "any"

// Values that requests have of themselves. The first that no rule names stands for all such.
var (
	methods = []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch, http.MethodHead, http.MethodOptions}
	paths   = []string{"/", "/" + anything, "/other", "/" + anything + "/other"}
)

// pattern gives a match as a pattern; one of presence as that of any text.
func pattern(m ir.StringMatch) witness.Pattern {
	kinds := map[ir.MatchKind]witness.Kind{ir.MatchExact: witness.Exact, ir.MatchPrefix: witness.Prefix, ir.MatchSuffix: witness.Suffix, ir.MatchRegex: witness.Regex}
	if kind, ok := kinds[m.Kind]; ok {
		return witness.Pattern{Kind: kind, Value: m.Value, IgnoreCase: m.IgnoreCase}
	}
	return witness.Pattern{Kind: witness.Prefix}
}

// told gives a match as the pattern by which values are found: what asks for any text needs no walk.
func told(m ir.StringMatch) witness.Pattern {
	if m.Kind == ir.MatchRegex && (m.Value == ".+" || m.Value == ".*") {
		return witness.Pattern{Kind: witness.Prefix}
	}
	return pattern(m)
}

func patterns(all []ir.RBACCondition, named func(ir.RBACCondition) (ir.StringMatch, bool)) []witness.Pattern {
	var out []witness.Pattern
	for _, k := range flat(all) {
		if m, ok := named(k); ok {
			out = append(out, told(m))
		}
	}
	return out
}

func about[T any](named func(ir.RBACCondition) (T, bool)) func(ir.RBACCondition) bool {
	return func(k ir.RBACCondition) bool { _, ok := named(k); return ok }
}

func headerNamed(name string) func(ir.RBACCondition) (ir.StringMatch, bool) {
	return func(k ir.RBACCondition) (ir.StringMatch, bool) {
		h, ok := k.(ir.RequestHeader)
		return h.Value, ok && strings.EqualFold(h.Name, name)
	}
}

func requestPath(k ir.RBACCondition) (ir.StringMatch, bool) {
	p, ok := k.(ir.RequestPath)
	return p.Path, ok
}

func serverName(k ir.RBACCondition) (ir.StringMatch, bool) {
	n, ok := k.(ir.ServerName)
	return n.Name, ok
}

// The forms of texts.
var (
	tokenForm = witness.Form{Expression: "[A-Z]+", Valid: func(s string) bool {
		return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !(r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' || r == '-') })
	}}
	hostForm = witness.Form{Valid: func(s string) bool { return !strings.ContainsAny(s, "/?# ") && !strings.HasSuffix(s, ".") }}
	anyForm  = witness.Form{Valid: func(s string) bool { return s != "" && strings.TrimSpace(s) == s }}
)

// PathForm is that of paths that come to filters and routes as they are, without a query.
var PathForm = witness.Form{Expression: `(/[^/?#%\\.][^/?#%\\]*)*/?`, Valid: func(s string) bool {
	return strings.HasPrefix(s, "/") && !strings.ContainsAny(s, "?#%\\ ") && Normalize(s, ir.PathNormalization{Normalize: true, MergeSlashes: true}) == s
}}

// texts gives a field of operations whose values are texts.
func texts(t *table, named func(ir.RBACCondition) (ir.StringMatch, bool), form witness.Form, set func(*Operation, string), usual ...string) *field {
	var out []value
	for _, v := range witness.Texts(patterns(t.conditions(about(named)), named), form, usual...) {
		out = append(out, value{
			set:   func(_ *Caller, o *Operation) { set(o, v) },
			holds: t.left(about(named), func(k ir.RBACCondition) bool { m, ok := named(k); return ok && matches(m, v) }),
		})
	}
	return grouped(out)
}

// headers gives the names of headers that conditions are about, but for those of operations.
func (t *table) headers() []string {
	names := map[string]bool{}
	for _, a := range t.alternatives {
		for _, c := range a {
			for _, k := range flat(c.AnyOf) {
				if h, ok := k.(ir.RequestHeader); ok && !strings.HasPrefix(h.Name, ":") {
					names[strings.ToLower(h.Name)] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(names))
}

// header gives a field of callers: that header, which may be missing.
func header(t *table, name string) *field {
	named := headerNamed(name)
	conditions := t.conditions(about(named))
	out := []value{{set: func(*Caller, *Operation) {}, holds: t.left(about(named), func(ir.RBACCondition) bool { return false })}}
	for _, v := range witness.Texts(patterns(conditions, named), anyForm, anything) {
		is := func(k ir.RBACCondition) bool {
			m, ok := named(k)
			return ok && (m.Kind == ir.MatchPresent || matches(m, v))
		}
		out = append(out, value{
			name: held(conditions, is, "header "+name+": "+v), holds: t.left(about(named), is),
			set: func(c *Caller, _ *Operation) {
				if c.Headers == nil {
					c.Headers = map[string]string{}
				}
				c.Headers[name] = v
			},
		})
	}
	return grouped(out)
}

// held names the conditions that hold, the narrowest of them; else in other words.
func held(conditions []ir.RBACCondition, is func(ir.RBACCondition) bool, otherwise string) string {
	var names []string
	for _, k := range conditions {
		if is(k) && !everybody(k) {
			names = append(names, condition(k))
		}
	}
	if len(names) == 0 || len(names) > eitherMost {
		return otherwise
	}
	return strings.Join(names, " and ")
}

// everybody tells of a condition that each caller meets who has what it is about.
func everybody(k ir.RBACCondition) bool {
	switch k := k.(type) {
	case ir.PeerIdentity:
		return Identity(k.Name) == "any identity"
	case ir.RequestHeader:
		return k.Value.Kind == ir.MatchPresent
	}
	return false
}

// addresses gives a field of callers: their addresses, of which the first is none that rules know.
func addresses(t *table, named func(ir.RBACCondition) (netip.Prefix, bool), set func(*Caller, netip.Addr), words string) *field {
	var out []value
	all := prefixes(t, named)
	for _, a := range append([]netip.Addr{{}}, witness.Addresses(all)...) {
		name := ""
		if inside := slices.DeleteFunc(slices.Clone(all), func(p netip.Prefix) bool { return !within(p, a) }); len(inside) == 1 && inside[0].Bits() < a.BitLen() {
			name = words + inside[0].String()
		} else if len(inside) > 0 {
			name = words + a.String()
		}
		out = append(out, value{name: name, set: func(c *Caller, _ *Operation) { set(c, a) }, holds: t.left(about(named), func(k ir.RBACCondition) bool {
			p, ok := named(k)
			return ok && within(p, a)
		})})
	}
	return grouped(out)
}

func prefixes(t *table, named func(ir.RBACCondition) (netip.Prefix, bool)) []netip.Prefix {
	var out []netip.Prefix
	for _, k := range flat(t.conditions(about(named))) {
		if p, ok := named(k); ok {
			out = append(out, p)
		}
	}
	return out
}

// localAddresses gives a field of operations: the address that is connected to.
func localAddresses(t *table) *field {
	named := func(k ir.RBACCondition) (netip.Prefix, bool) { a, ok := k.(ir.LocalAddress); return a.Prefix, ok }
	var out []value
	for _, a := range append([]netip.Addr{{}}, witness.Addresses(prefixes(t, named))...) {
		out = append(out, value{set: func(_ *Caller, o *Operation) { o.Local = a }, holds: t.left(about(named), func(k ir.RBACCondition) bool {
			p, ok := named(k)
			return ok && within(p, a)
		})})
	}
	return grouped(out)
}

// tokensMost bounds how many tokens are made of values of claims.
const tokensMost = 2000

// tokens gives a field of callers: the claims of a token, or none.
func tokens(t *table) *field {
	isClaim := func(k ir.RBACCondition) bool {
		m, ok := k.(ir.RequestMetadata)
		return ok && m.Filter == httpfilter.JWT && len(m.Path) > 1
	}
	conditions := t.conditions(isClaim)
	by := map[string][]ir.RequestMetadata{}
	for _, k := range flat(conditions) {
		if isClaim(k) {
			m := k.(ir.RequestMetadata)
			name := strings.Join(m.Path, "\x00")
			by[name] = append(by[name], m)
		}
	}
	made := []map[string]any{nil}
	for _, name := range slices.Sorted(maps.Keys(by)) {
		var patterns []witness.Pattern
		for _, m := range by[name] {
			patterns = append(patterns, told(m.Value))
		}
		for _, base := range slices.Clone(made) {
			for _, v := range witness.Texts(patterns, anyForm, anything) {
				if len(made) < tokensMost {
					made = append(made, WithClaim(base, by[name][0].Path[1:], claimOf(by[name][0], v)))
				}
			}
		}
	}
	var out []value
	seen := map[string]bool{}
	for _, claims := range made {
		is := func(k ir.RBACCondition) bool { return (&Call{Request: &Request{Claims: claims}}).is(k) }
		met := held(conditions, is, "")
		v := value{name: met, set: func(c *Caller, _ *Operation) { c.Claims = claims }, holds: t.left(isClaim, is)}
		if met == "" && claims != nil {
			v.name = "a client with a token of others"
		}
		if key := met + "\x00" + string(v.holds); !seen[key] {
			seen[key] = true
			out = append(out, v)
		}
	}
	return grouped(out)
}

// claimOf gives a claim of the form that a condition asks for.
func claimOf(k ir.RequestMetadata, text string) any {
	if k.OnlyList {
		return []any{text}
	}
	return text
}

// WithClaim gives claims with one more, at a path of names; the former ones stay as they are.
func WithClaim(claims map[string]any, path []string, value any) map[string]any {
	out := maps.Clone(claims)
	if out == nil {
		out = map[string]any{}
	}
	if len(path) == 1 {
		out[path[0]] = value
		return out
	}
	inner, _ := out[path[0]].(map[string]any)
	out[path[0]] = WithClaim(inner, path[1:], value)
	return out
}
