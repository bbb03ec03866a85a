package authz_test

import (
	"math/rand/v2"
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
