package model_test

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// A problem is told with those who have it, where others by the same object have not.
func TestAProblemSaysForWhomItHolds(t *testing.T) {
	of := func(kind model.ProxyType, namespace, workload string) (out model.Holders) {
		out.Add(kind, namespace, workload)
		return out
	}
	ingress, egress := of(model.RouterProxy, "istio-system", "ingress"), of(model.RouterProxy, "istio-system", "egress")
	front, shop := of(model.SidecarProxy, "front", "a"), of(model.SidecarProxy, "shop", "b")
	vs := model.Key{Kind: model.KindVirtualService, Namespace: "shop", Name: "cart"}
	subset := model.Problem{Object: vs, Field: "spec.http[0].route[0].destination.subset", Reason: model.ReasonReference, Message: "leads nowhere"}
	bound := model.Problem{Object: vs, Field: "spec.gateways[0]", Reason: model.ReasonReference, Message: "leads nowhere"}
	gateway := model.Problem{Object: model.Key{Kind: model.KindGateway, Namespace: "shop", Name: "g"}, Message: "leads nowhere"}
	policy := model.Problem{Object: model.Key{Kind: model.KindAuthorizationPolicy, Namespace: "shop", Name: "p"}, Message: "leads nowhere"}
	root := model.Problem{Object: model.Key{Kind: model.KindEnvoyFilter, Namespace: "istio-system", Name: "f"}, Message: "leads nowhere"}
	for name, c := range map[string]struct {
		problem model.Problem
		by      []model.Holders
		text    string
	}{
		"some sidecars":          {subset, []model.Holders{front}, "leads nowhere; so it is for sidecars of namespace front"},
		"all sidecars":           {subset, []model.Holders{front, shop}, "leads nowhere"},
		"one of two gateways":    {subset, []model.Holders{front, shop, egress}, "leads nowhere; so it is for sidecars of namespace front, shop, and gateway egress.istio-system"},
		"everybody":              {subset, []model.Holders{front, shop, egress, ingress}, "leads nowhere"},
		"what its gateways have": {bound, []model.Holders{front}, "leads nowhere"},
		"whom it selects":        {gateway, []model.Holders{egress}, "leads nowhere"},
		"its own namespace":      {policy, []model.Holders{shop}, "leads nowhere"},
		"others than its own":    {root, []model.Holders{shop}, "leads nowhere; so it is for sidecars of namespace shop"},
	} {
		held := []model.Held{{By: ingress}, {By: egress}, {By: front}, {By: shop}}
		for _, by := range c.by {
			held = append(held, model.Held{Problems: []model.Problem{c.problem}, By: by})
		}
		all := model.Scoped(held)
		if len(all) != 1 || all[0].Text() != c.text {
			t.Errorf("%s: %v, not %q", name, all, c.text)
		}
	}
}

// Control planes each report their own proxies, whose names are put together; many are counted.
func TestScopesOfSeveralControlPlanes(t *testing.T) {
	a, b := model.NewScope([]string{"b", "a"}, nil), model.NewScope([]string{"c", "a", "d"}, []string{"g.x"})
	if got, want := a.Or(b).String(), "sidecars of namespace a, b, c and 1 more, and gateway g.x"; got != want {
		t.Errorf("%q, not %q", got, want)
	}
	if got := a.Or(model.Scope{}); got != (model.Scope{}) {
		t.Errorf("with all of another one it is %q", got)
	}
}
