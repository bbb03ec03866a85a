package build

import (
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// selector means all workloads or one of those that have a name.
func (e editor) selector() *typev1beta1.WorkloadSelector {
	if e.IntN(2) == 0 {
		return nil
	}
	return &typev1beta1.WorkloadSelector{MatchLabels: map[string]string{"app": e.name()}}
}

func (e editor) authorizationPolicy() *security.AuthorizationPolicy {
	return &security.AuthorizationPolicy{
		Selector: e.selector(),
		Action:   pick(e, security.AuthorizationPolicy_ALLOW, security.AuthorizationPolicy_DENY, security.AuthorizationPolicy_AUDIT),
		Rules: []*security.Rule{{From: []*security.Rule_From{{Source: &security.Source{
			Principals: []string{"cluster.local/ns/" + e.ns() + "/sa/" + e.name()},
		}}}}},
	}
}

// claims makes one of few VirtualServices, some of which ask for claims of tokens, or the check of tokens that they
// need.
func (e editor) claims() *model.Object {
	if e.IntN(2) == 0 {
		policy := e.requestAuthentication()
		if policy.Selector != nil {
			policy.Selector.MatchLabels = map[string]string{"version": "v1"}
		}
		return storetest.Object(model.KindRequestAuthentication, e.ns(), "claims", policy)
	}
	rule := &networking.HTTPRoute{Route: []*networking.HTTPRouteDestination{{Destination: e.destination()}}}
	if e.IntN(2) == 0 {
		rule.Match = []*networking.HTTPMatchRequest{{Headers: map[string]*networking.StringMatch{
			"@request.auth.claims.group": {MatchType: &networking.StringMatch_Exact{Exact: e.name()}},
		}}}
	}
	return storetest.Object(model.KindVirtualService, e.ns(), "claims", &networking.VirtualService{
		Hosts: []string{"claims.test"}, ExportTo: e.exportTo(), Http: []*networking.HTTPRoute{rule},
	})
}

func (e editor) requestAuthentication() *security.RequestAuthentication {
	return &security.RequestAuthentication{
		Selector: e.selector(),
		JwtRules: []*security.JWTRule{{Issuer: "https://" + e.name() + ".example", JwksUri: pick(e, "", "https://keys.example")}},
	}
}
