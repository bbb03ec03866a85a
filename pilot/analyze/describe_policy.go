package analyze

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	networkingv1beta1 "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetry "istio.io/api/telemetry/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// AppliedPolicy is a policy that is for a workload.
type AppliedPolicy struct {
	Object string `json:"object"` // as KIND/NAMESPACE/NAME
	DryRun bool   `json:"dryRun,omitempty"`
	// Refused tells that the object has a fault, so that a policy that denies is in effect in its place.
	Refused bool `json:"refused,omitempty"`
}

// String says what the policy does beside being there.
func (p AppliedPolicy) String() string {
	switch {
	case p.Refused:
		return p.Object + " (refused, denies)"
	case p.DryRun:
		return p.Object + " (dry run)"
	}
	return p.Object
}

// policy is one that is for a class.
type policy struct {
	AppliedPolicy
	key model.Key // of what is in effect
}

// policiesOf gives the policies for a class, and those in the place of refused ones.
func (m *mesh) policiesOf(class *resolve.Class) []policy {
	var out []policy
	for _, o := range slices.Concat(m.ofKind(model.KindAuthorizationPolicy), m.denials) {
		spec, ok := o.Spec.(*security.AuthorizationPolicy)
		near := o.Namespace == class.Namespace || o.Namespace == m.config.GetRootNamespace()
		if ok && (near && !model.PolicyTargetOf(spec).Some() || slices.Contains(class.AuthorizationPolicies, o.Key)) {
			out = append(out, policyOf(o))
		}
	}
	for _, ra := range m.tokensOf(class) {
		out = append(out, policy{AppliedPolicy{Object: ra.Key.String()}, ra.Key})
	}
	return out
}

// policyOf names a policy, by the object in whose place it denies if it is in the place of one.
func policyOf(o *model.Object) policy {
	key := o.Key
	if of, refused := strings.CutPrefix(key.Name, "refused:"); refused {
		kind, name, _ := strings.Cut(of, ":")
		key.Kind, key.Name = model.Kind(kind), name
		return policy{AppliedPolicy{Object: key.String(), Refused: true}, key}
	}
	return policy{AppliedPolicy{Object: key.String(), DryRun: model.DryRun(o)}, key}
}

// settingsFor gives the objects that set something for a class and are neither policies nor about a service.
func (m *mesh) settingsFor(class *resolve.Class, labels map[string]string) []model.Key {
	var out []model.Key
	take := func(o *model.Object, selector map[string]string, targeted bool) {
		near := o.Namespace == class.Namespace || o.Namespace == m.config.GetRootNamespace()
		if near && !targeted && model.HasLabels(labels, selector) {
			out = append(out, o.Key)
		}
	}
	if class.Sidecar.Name != "" {
		out = append(out, class.Sidecar)
	}
	for _, o := range of[*networking.EnvoyFilter](m, model.KindEnvoyFilter) {
		take(o.Object, o.spec.GetWorkloadSelector().GetLabels(), len(o.spec.GetTargetRefs()) > 0)
	}
	for _, o := range of[*telemetry.Telemetry](m, model.KindTelemetry) {
		if own := o.spec.GetSelector() != nil || len(o.spec.GetTargetRefs()) > 0; !own || o.Key == class.Telemetry {
			take(o.Object, nil, false)
		}
	}
	for _, o := range m.ofKind(model.KindProxyConfig) {
		if spec, ok := o.Spec.(*networkingv1beta1.ProxyConfig); ok {
			take(o, spec.GetSelector().GetMatchLabels(), false)
		}
	}
	return out
}
