package authz_test

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	rbachttp "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// again gives rules as they are read of the message that Envoy gets.
func again(t *testing.T, rules []*ir.RBAC) []*ir.RBAC {
	t.Helper()
	var out []*ir.RBAC
	for _, r := range rules {
		m := &rbachttp.RBAC{}
		if err := envoy.HTTPFilter(r).GetTypedConfig().UnmarshalTo(m); err != nil {
			t.Fatal(err)
		}
		read, err := authz.Read(m)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, read)
	}
	return out
}

// What is read of Envoy's messages decides as what they were made of.
func TestMessagesDecideAsRules(t *testing.T) {
	denied := 0
	for seed := range uint64(300) {
		m := maker{rand.New(rand.NewPCG(seed, 2))}
		one, two := m.policy(), m.policy()
		http, tcp := chains(t, storetest.Object(model.KindAuthorizationPolicy, "shop", "p", one), storetest.Object(model.KindAuthorizationPolicy, "shop", "q", two))
		for range 20 {
			call := m.call()
			rules := authz.Filters(http)
			if call.Request == nil {
				rules = authz.Filters(tcp)
			}
			want, got := authz.Decide(rules, call), authz.Decide(again(t, rules), call)
			if want.Allowed != got.Allowed || want.Rule != got.Rule || want.Asks != got.Asks || want.AskedBy != got.AskedBy || want.Audited != got.Audited {
				t.Fatalf("seed %d: %+v: %s, and by the message: %s\n%v\n%v", seed, call, want, got, one, two)
			}
			if !got.Allowed {
				denied++
			}
		}
	}
	if denied < 1000 {
		t.Errorf("only %d calls were denied", denied)
	}
}

// A rule of which a part is not known is an error, not a rule without it.
func TestWhatIsNotKnownIsNoRule(t *testing.T) {
	for name, p := range map[string]*rbac.Policy{
		"a matcher":     {Permissions: []*rbac.Permission{{Rule: &rbac.Permission_Matcher{}}}},
		"a principal":   {Principals: []*rbac.Principal{{Identifier: &rbac.Principal_FilterState{}}}},
		"nested":        {Permissions: []*rbac.Permission{{Rule: &rbac.Permission_AndRules{AndRules: &rbac.Permission_Set{Rules: []*rbac.Permission{{Rule: &rbac.Permission_OrRules{OrRules: &rbac.Permission_Set{Rules: []*rbac.Permission{{Rule: &rbac.Permission_OrRules{OrRules: &rbac.Permission_Set{}}}}}}}}}}}}},
		"nothing of it": {Permissions: []*rbac.Permission{{}}},
	} {
		m := &rbachttp.RBAC{Rules: &rbac.RBAC{Policies: map[string]*rbac.Policy{"r": p}}}
		if _, err := authz.Read(m); err == nil || !strings.Contains(err.Error(), "rule r: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Rules give callers and operations for which they hold, and those whom they leave out.
func TestMentioned(t *testing.T) {
	count := map[string]int{}
	for seed := range uint64(200) {
		m := maker{rand.New(rand.NewPCG(seed, 3))}
		http, _ := chains(t, storetest.Object(model.KindAuthorizationPolicy, "shop", "p", m.policy()))
		filters := again(t, authz.Filters(http))
		callers, operations := authz.Mentioned(filters, authz.Usual{TrustDomain: "example.org", Hosts: []string{"other.example", "other"}})
		if len(callers) > 32 || len(operations) > 32 {
			t.Fatalf("seed %d: %d callers, %d operations", seed, len(callers), len(operations))
		}
		for _, c := range callers {
			if c.Name == "" || strings.Contains(c.Name, "spiffe://") || strings.ContainsAny(c.Identity, `\[`) {
				t.Errorf("seed %d: %+v", seed, c)
			}
			if strings.HasSuffix(c.Identity, "/ns/any/sa/any") && c.Identity != authz.AnyIdentity("example.org") {
				t.Errorf("seed %d: %s is of another trust domain", seed, c.Identity)
			}
		}
		froms, tos := clauses(filters)
		for _, c := range callers {
			if !slices.ContainsFunc(froms, func(f []ir.RBACAlternative) bool {
				return meets(ir.RBACRule{From: f, To: always}, c, authz.Operation{})
			}) {
				t.Errorf("seed %d: no list is about %+v", seed, c)
			}
		}
		for _, f := range froms {
			if slices.ContainsFunc(callers, func(c authz.Caller) bool { return meets(ir.RBACRule{From: f, To: always}, c, authz.Operation{}) }) {
				count["lists of callers"]++
			}
		}
		for _, c := range tos {
			holds := func(o authz.Operation) bool { return meets(ir.RBACRule{From: always, To: c}, authz.Caller{}, o) }
			met, missed := slices.ContainsFunc(operations, holds), slices.ContainsFunc(operations, func(o authz.Operation) bool { return !holds(o) })
			switch _, port := c[0][0].AnyOf[0].(ir.LocalPort); {
			case port:
				continue
			case !met:
				t.Errorf("seed %d: no operation is of %v", seed, c)
			case missed:
				count["lists with others"]++
			case !slices.ContainsFunc(c[0][0].AnyOf, everything):
				t.Errorf("seed %d: all operations are of %v", seed, c)
			}
			count["lists of operations"]++
		}
		count["callers"] += len(callers)
		count["operations"] += len(operations)
	}
	t.Log(count)
	for what, n := range map[string]int{"callers": 900, "operations": 500, "lists of callers": 500, "lists of operations": 300, "lists with others": 200} {
		if count[what] < n {
			t.Errorf("only %d %s", count[what], what)
		}
	}
}

// always holds.
var always = []ir.RBACAlternative{{}}

// everything tells of a condition that no request fails.
func everything(k ir.RBACCondition) bool {
	switch k := k.(type) {
	case ir.RequestHeader:
		return k.Value.Kind == ir.MatchPresent
	case ir.RequestPath:
		return k.Path.Kind == ir.MatchRegex
	}
	return false
}

// clauses gives the lists of rules that say something of callers, and those of operations, none of them inverted.
func clauses(filters []*ir.RBAC) (from, to [][]ir.RBACAlternative) {
	each := func(all []ir.RBACAlternative) (out [][]ir.RBACAlternative) {
		for _, c := range slices.Concat(all...) {
			if len(c.AnyOf) > 0 {
				out = append(out, []ir.RBACAlternative{{{AnyOf: c.AnyOf}}})
			}
		}
		return out
	}
	for _, f := range filters {
		if f.Rules != nil {
			for _, r := range *f.Rules {
				from, to = append(from, each(r.From)...), append(to, each(r.To)...)
			}
		}
	}
	return from, to
}

// meets tells whether a rule is about what a caller asks for.
func meets(r ir.RBACRule, c authz.Caller, o authz.Operation) bool {
	r.Name = "r"
	headers := map[string]string{}
	maps.Copy(headers, c.Headers)
	maps.Copy(headers, o.Headers)
	return authz.Decide([]*ir.RBAC{{Rules: &ir.RBACRules{r}}}, authz.Call{
		Identity: c.Identity, Peer: c.Source, Client: c.Client,
		Request: &authz.Request{
			Method: cmp.Or(o.Method, "GET"), Host: cmp.Or(o.Host, "other"), Path: cmp.Or(o.Path, "/"), Headers: headers, Claims: c.Claims,
		},
	}).Allowed
}
