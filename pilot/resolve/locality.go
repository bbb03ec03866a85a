package resolve

import (
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// applyLocality says which endpoints of a cluster are near. The first that says anything decides, as in Istio: the
// DestinationRule, the Service's trafficDistribution, the mesh by zones, the mesh by localities.
func applyLocality(mesh *meshconfig.MeshConfig, svc *model.Service, b *networking.LoadBalancerSettings, outlier bool, cl *ir.Cluster) {
	own, ofMesh := b.GetZoneAwareLbSetting(), mesh.GetZoneAwareLbSetting()
	policy := &cl.Endpoints.Locality
	switch by := nearness(svc.TrafficDistribution); {
	case own != nil:
		*policy, cl.Zones = zonePolicy(own)
	case b.GetLocalityLbSetting() != nil:
		*policy = localityPolicy(b.GetLocalityLbSetting(), outlier)
	case by != nil:
		policy.By, policy.OwnNetwork = by, cl.Endpoints.ByNetwork
	case ofMesh != nil && !off(ofMesh.GetEnabled()):
		*policy, cl.Zones = zonePolicy(ofMesh)
	default:
		*policy = localityPolicy(mesh.GetLocalityLbSetting(), outlier)
		if ofMesh != nil {
			cl.Zones = &ir.ZoneRouting{Off: true}
		}
	}
	cl.LocalityWeighted = len(policy.Distribute) > 0
}

// countUnready lets a cluster that prefers near endpoints know of those that are not ready. As in Istio, part of the
// traffic then goes further away before the last near one is lost. A minimum of healthy hosts forbids it, but for a
// Service's trafficDistribution: below the minimum Envoy would send to what is not ready. Elsewhere endpoints that
// are not ready change nothing, and each would be sent twice.
func countUnready(svc *model.Service, o *networking.OutlierDetection, cl *ir.Cluster) {
	if set := cl.Endpoints; cl.Discovery == ir.DiscoveryEDS && set.Locality.ByPlace() && (svc.TrafficDistribution != "" || o.GetMinHealthPercent() == 0) {
		set.Unready, cl.PanicThreshold = true, new(uint32)
	}
}

// off tells whether a setting that counts unless it says otherwise does so.
func off(enabled *wrapperspb.BoolValue) bool { return enabled != nil && !enabled.GetValue() }

// nearness gives the labels by which a Service's trafficDistribution prefers endpoints.
func nearness(d string) []ir.FailoverLabel {
	switch d {
	case model.PreferSameNode:
		return ownLabels(model.LabelRegion, model.LabelZone, model.LabelSubZone, model.LabelNode)
	case model.PreferSameZone:
		return ownLabels(model.LabelRegion, model.LabelZone)
	}
	return nil
}

// zonePolicy keeps to the proxy's region, in which Envoy keeps to its zone.
func zonePolicy(s *networking.ZoneAwareLoadBalancerSetting) (ir.LocalityPolicy, *ir.ZoneRouting) {
	if off(s.GetEnabled()) {
		return ir.LocalityPolicy{}, &ir.ZoneRouting{Off: true}
	}
	out := ir.LocalityPolicy{Regions: true, By: failoverLabels(s.GetFailoverPriority())}
	for _, f := range s.GetFailover() {
		out.To = append(out.To, ir.FailoverRegion{From: f.GetFrom(), To: f.GetTo()})
	}
	return out, &ir.ZoneRouting{MinHosts: s.GetMinClusterSize().GetValue()}
}

func localityPolicy(s *networking.LocalityLoadBalancerSetting, outlier bool) ir.LocalityPolicy {
	var out ir.LocalityPolicy
	if s == nil || off(s.GetEnabled()) {
		return out
	}
	for _, d := range s.GetDistribute() {
		entry := ir.Distribution{From: d.GetFrom()}
		for _, to := range slices.Sorted(maps.Keys(d.GetTo())) {
			entry.To = append(entry.To, ir.LocalityShare{Locality: to, Percent: d.GetTo()[to]})
		}
		out.Distribute = append(out.Distribute, entry)
	}
	if len(out.Distribute) > 0 || !outlier {
		return out
	}
	out.By = failoverLabels(s.GetFailoverPriority())
	out.Failover = len(out.By) == 0 || len(s.GetFailover()) > 0
	for _, f := range s.GetFailover() {
		out.To = append(out.To, ir.FailoverRegion{From: f.GetFrom(), To: f.GetTo()})
	}
	return out
}

// failoverLabels reads labels of a failover priority: label, of which the proxy's own value counts, and
// label=value.
func failoverLabels(priority []string) []ir.FailoverLabel {
	var out []ir.FailoverLabel
	for _, text := range priority {
		name, value, given := strings.Cut(text, "=")
		out = append(out, ir.FailoverLabel{Name: name, Value: value, Own: !given})
	}
	return out
}

func ownLabels(names ...string) []ir.FailoverLabel { return failoverLabels(names) }

// failoverValues gives what a proxy has of the labels whose own values some failover priority counts.
func failoverValues(r Reader, p *model.Proxy, w Workload) (out []ir.FailoverLabel, byNode bool) {
	names := slices.Concat(r.FailoverLabels(p.Namespace), model.FailoverLabels(r.Mesh().GetLocalityLbSetting().GetFailoverPriority(),
		r.Mesh().GetZoneAwareLbSetting().GetFailoverPriority()))
	for _, name := range distinct(names) {
		value := w.Labels[name]
		if name == model.LabelNetwork {
			value = w.network(r, p)
		}
		if value != "" {
			out = append(out, ir.FailoverLabel{Name: name, Value: value})
		}
		byNode = byNode || name == model.LabelNode
	}
	return out, byNode
}
