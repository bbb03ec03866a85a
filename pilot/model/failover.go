package model

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
)

// LabelCluster of an endpoint is the cluster that it is in.
const LabelCluster = "topology.istio.io/cluster"

// TellsPlace tells whether a label says where something runs of which proxies of one class do not differ but by
// their locality.
func TellsPlace(label string) bool {
	_, part := Locality{}.Labelled(label)
	return part || label == LabelCluster
}

// FailoverLabels gives the labels of failover priorities of which a proxy's own value counts, sorted. Those that
// say where a proxy runs are not among them, but for that of its node.
func FailoverLabels(priorities ...[]string) []string {
	var out []string
	for _, name := range slices.Concat(priorities...) {
		if name != "" && !TellsPlace(name) && !strings.Contains(name, "=") {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// RuleFailoverLabels gives those that the policies of a DestinationRule name.
func RuleFailoverLabels(rule *networking.DestinationRule) []string {
	var priorities [][]string
	add := func(b *networking.LoadBalancerSettings) {
		priorities = append(priorities, b.GetLocalityLbSetting().GetFailoverPriority(), b.GetZoneAwareLbSetting().GetFailoverPriority())
	}
	for _, p := range policies(rule) {
		add(p.GetLoadBalancer())
		for _, port := range p.GetPortLevelSettings() {
			add(port.GetLoadBalancer())
		}
	}
	return FailoverLabels(priorities...)
}

// policies gives the traffic policies of a DestinationRule, its own and those of its subsets.
func policies(rule *networking.DestinationRule) []*networking.TrafficPolicy {
	out := []*networking.TrafficPolicy{rule.GetTrafficPolicy()}
	for _, s := range rule.GetSubsets() {
		out = append(out, s.GetTrafficPolicy())
	}
	return out
}
