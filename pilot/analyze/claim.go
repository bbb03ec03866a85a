package analyze

import (
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// claimsWithoutTokens finds rules that ask for claims of a request's token where no proxy that follows
// them validates tokens, so that no request has a claim.
func claimsWithoutTokens(m *mesh) {
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		field, name := model.FirstClaim(vs.spec)
		if _, ok := model.ClaimPath(name); !ok { // there is none, or validation has told of its form
			continue
		}
		var proxies []*workload
		if model.BoundToMesh(vs.spec.GetGateways()) {
			proxies = m.workloads
		}
		for _, gw := range m.gatewaysOf(vs) {
			proxies = append(proxies, m.selected("", gw.spec.GetSelector())...)
		}
		if len(proxies) > 0 && !slices.ContainsFunc(proxies, m.validatesTokens) {
			m.report(vs.Object, field, claimsUnvalidated, Error,
				"%q is a claim of a token, and no RequestAuthentication is for the proxies that follow the rule, so no request has it; add one for them", name)
		}
	}
}

// validatesTokens tells whether a RequestAuthentication is for a workload. One for a resource (targetRefs)
// may be.
func (m *mesh) validatesTokens(w *workload) bool {
	return slices.ContainsFunc(of[*security.RequestAuthentication](m, model.KindRequestAuthentication), func(ra object[*security.RequestAuthentication]) bool {
		near := ra.Namespace == w.object.Namespace || ra.Namespace == m.config.GetRootNamespace()
		return near && len(ra.spec.GetJwtRules()) > 0 && model.HasLabels(w.meta.Labels, ra.spec.GetSelector().GetMatchLabels())
	})
}

// unfetched stands for keys of tokens that a control plane fetches: nobody does for files, and which they are
// makes no difference to what is wrong with files.
const unfetched = `{"keys":[]}`

// keySets gives the sets of keys that the RequestAuthentications name and that the mesh does not have.
func (m *mesh) keySets() []*model.Object {
	var out []*model.Object
	made := map[model.Key]bool{}
	for _, ra := range of[*security.RequestAuthentication](m, model.KindRequestAuthentication) {
		for _, rule := range ra.spec.GetJwtRules() {
			source, fetched := model.KeySetSourceOf(rule)
			if key := source.Key(); fetched && m.object(key) == nil && !made[key] {
				made[key] = true
				out = append(out, &model.Object{Key: source.Key(), Spec: &model.KeySet{Keys: unfetched}})
			}
		}
	}
	return out
}
