package authz

import (
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/witness"
)

// inTheClear names a caller without a certificate, where rules tell that apart.
const inTheClear = "a client in the clear"

// AnyIdentity is that of a workload of a trust domain which no policy names.
func AnyIdentity(domain string) string { return accountOf(domain, anything, anything) }

func accountOf(domain, namespace, account string) string {
	return scheme + domain + "/ns/" + namespace + "/sa/" + account
}

// identities gives a field of callers: who they are by their certificates. First comes a workload that no rule names,
// second one without a certificate. Without a trust domain nobody has one.
func identities(t *table, domain string) *field {
	named := func(k ir.RBACCondition) (ir.StringMatch, bool) { p, ok := k.(ir.PeerIdentity); return p.Name, ok }
	conditions := t.conditions(about(named))
	is := func(id string) func(ir.RBACCondition) bool {
		return func(k ir.RBACCondition) bool { m, ok := named(k); return ok && id != "" && matches(m, id) }
	}
	if domain == "" {
		return &field{values: []value{{set: func(*Caller, *Operation) {}, holds: t.left(about(named), is(""))}}}
	}
	out := []value{
		{set: func(c *Caller, _ *Operation) { c.Identity = AnyIdentity(domain) }, holds: t.left(about(named), is(AnyIdentity(domain)))},
		{name: inTheClear, set: func(c *Caller, _ *Operation) { c.Clear = true }, holds: t.left(about(named), is(""))},
	}
	var wanted []ir.StringMatch
	for _, k := range flat(conditions) {
		if m, ok := named(k); ok {
			wanted = append(wanted, m)
		}
	}
	seen := map[string]bool{}
	for _, id := range identityTexts(wanted, domain) {
		met := held(conditions, is(id), "identity "+strings.TrimPrefix(id, scheme))
		if id == AnyIdentity(domain) || seen[met] {
			continue
		}
		seen[met] = true
		out = append(out, value{name: met, set: func(c *Caller, _ *Operation) { c.Identity = id }, holds: t.left(about(named), is(id))})
	}
	return grouped(out)
}

// identitiesMost bounds how many identities are made of parts.
const identitiesMost = 4096

// identityTexts gives identities by which matches are told apart: those that are named, and all that are made of the
// domains, namespaces and accounts in them.
func identityTexts(all []ir.StringMatch, domain string) []string {
	domains, namespaces, accounts := []string{domain}, []witness.Pattern(nil), []witness.Pattern(nil)
	var out []string
	for _, m := range all {
		if m.Kind == ir.MatchExact {
			out = append(out, m.Value)
		}
		td, ns, sa := identityParts(m)
		if td != "" && !slices.Contains(domains, td) {
			domains = append(domains, td)
		}
		namespaces, accounts = append(namespaces, ns...), append(accounts, sa...)
	}
	name := witness.Form{Valid: func(s string) bool { return s != "" && !strings.ContainsAny(s, "/*[]()+.?\\ ") }}
	for _, d := range domains {
		for _, ns := range witness.Texts(namespaces, name, anything) {
			for _, sa := range witness.Texts(accounts, name, anything) {
				if len(out) < identitiesMost {
					out = append(out, accountOf(d, ns, sa))
				}
			}
		}
	}
	return out
}

// identityParts gives what a match says of the trust domain, the namespace and the account.
func identityParts(m ir.StringMatch) (domain string, namespace, account []witness.Pattern) {
	text := strings.TrimPrefix(m.Value, scheme)
	open := m.Kind == ir.MatchPrefix // what comes last may go on
	if m.Kind == ir.MatchRegex {
		text = strings.NewReplacer("[^/]*", "*", "[^/]+", "*", ".*", "*", ".+", "*", `(*/)?`, "", `(/*)?`, "", `(.+/)?`, "", `(/.+)?`, "", `\`, "").Replace(text)
	}
	parts := strings.Split(text, "/")
	for i, p := range parts {
		last := i == len(parts)-1
		switch before := parts[max(i-1, 0)]; {
		case i == 0 && !strings.Contains(p, "*") && (!last || !open) && m.Kind != ir.MatchSuffix:
			domain = p
		case i > 0 && before == "ns":
			namespace = append(namespace, wild(p, open && last)...)
		case i > 0 && before == "sa":
			account = append(account, wild(p, open && last)...)
		case last && i == 0: // the end of whatever comes last
			account = append(account, wild(p, open)...)
		}
	}
	return domain, namespace, account
}

// wild reads a name in which * stands for any text.
func wild(name string, open bool) []witness.Pattern {
	suffix, tail := strings.CutPrefix(name, "*")
	prefix, head := strings.CutSuffix(name, "*")
	switch {
	case strings.Trim(name, "*") == "":
		return nil
	case tail && head:
		return []witness.Pattern{{Kind: witness.Contains, Value: strings.Trim(name, "*")}}
	case tail:
		return []witness.Pattern{{Kind: witness.Suffix, Value: suffix}}
	case head || open:
		return []witness.Pattern{{Kind: witness.Prefix, Value: prefix}}
	case strings.Contains(name, "*"):
		before, after, _ := strings.Cut(name, "*")
		return []witness.Pattern{{Kind: witness.Prefix, Value: before}, {Kind: witness.Suffix, Value: after}}
	}
	return []witness.Pattern{{Value: name}}
}
