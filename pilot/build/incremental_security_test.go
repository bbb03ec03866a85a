package build

import (
	security "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
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

func (e editor) requestAuthentication() *security.RequestAuthentication {
	return &security.RequestAuthentication{
		Selector: e.selector(),
		JwtRules: []*security.JWTRule{{Issuer: "https://" + e.name() + ".example", JwksUri: pick(e, "", "https://keys.example")}},
	}
}
