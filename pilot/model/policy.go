package model

import (
	"strconv"

	"istio.io/api/annotation"
	securityv1beta1 "istio.io/api/security/v1beta1"
	typev1beta1 "istio.io/api/type/v1beta1"
)

// PolicyTarget says which workloads a policy of security.istio.io, or a Telemetry object, is for: those of its
// namespace, or of the whole mesh where it is the root namespace, or some of these.
type PolicyTarget struct {
	// Labels that a workload has to carry; empty for all.
	Labels map[string]string
	// Refs name what the policy is attached to, in the place of Labels.
	Refs []*typev1beta1.PolicyTargetReference
}

// PolicyTargetOf reads the target of an AuthorizationPolicy, a RequestAuthentication or a Telemetry object.
func PolicyTargetOf(spec any) PolicyTarget {
	p, ok := spec.(interface {
		GetSelector() *typev1beta1.WorkloadSelector
		GetTargetRefs() []*typev1beta1.PolicyTargetReference
	})
	if !ok {
		return PolicyTarget{}
	}
	out := PolicyTarget{Labels: p.GetSelector().GetMatchLabels(), Refs: p.GetTargetRefs()}
	if one, ok := spec.(interface {
		GetTargetRef() *typev1beta1.PolicyTargetReference
	}); ok && one.GetTargetRef() != nil {
		out.Refs = append([]*typev1beta1.PolicyTargetReference{one.GetTargetRef()}, out.Refs...)
	}
	return out
}

// Some tells whether the policy is not for all workloads.
func (t PolicyTarget) Some() bool { return len(t.Labels) > 0 || len(t.Refs) > 0 }

// GatewayNameLabel is carried by the pods that serve a Gateway of the Gateway API.
const GatewayNameLabel = "gateway.networking.k8s.io/gateway-name"

// GatewayAPIGateway tells whether a reference names a Gateway of the Gateway API. Other references have no
// effect on sidecars and gateways, as in Istio: they are for waypoints.
func GatewayAPIGateway(ref *typev1beta1.PolicyTargetReference) bool {
	return ref.GetGroup() == "gateway.networking.k8s.io" && ref.GetKind() == "Gateway"
}

// Includes tells whether a workload is meant that lives in a namespace of the policy's reach. local
// tells that it is the policy's own.
func (t PolicyTarget) Includes(labels map[string]string, router, local bool) bool {
	if len(t.Refs) == 0 {
		return HasLabels(labels, t.Labels)
	}
	name := labels[GatewayNameLabel]
	if !router || !local || name == "" {
		return false
	}
	for _, ref := range t.Refs {
		if GatewayAPIGateway(ref) && ref.GetName() == name {
			return true
		}
	}
	return false
}

// DryRun tells whether a policy is on trial: it is evaluated and counted, and nothing is denied. A value
// that is no truth value makes no trial of it.
func DryRun(o *Object) bool {
	trial, err := strconv.ParseBool(o.Annotations[annotation.IoIstioDryRun.Name])
	return err == nil && trial
}

// AuthorizationOrder are the actions of policies in the order in which they are asked.
func AuthorizationOrder() []securityv1beta1.AuthorizationPolicy_Action {
	return []securityv1beta1.AuthorizationPolicy_Action{
		securityv1beta1.AuthorizationPolicy_CUSTOM, securityv1beta1.AuthorizationPolicy_AUDIT,
		securityv1beta1.AuthorizationPolicy_DENY, securityv1beta1.AuthorizationPolicy_ALLOW,
	}
}
