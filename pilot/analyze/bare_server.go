package analyze

import (
	"fmt"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// bareServers finds DestinationRules that have clients speak TLS to pods without a sidecar, which would take it.
func bareServers(m *mesh) {
	for _, dr := range of[*networking.DestinationRule](m, model.KindDestinationRule) {
		for _, svc := range m.ruleServices(dr) {
			for _, p := range m.bareServersOf(dr, svc) {
				m.report(dr.Object, p.field, mutualTLSConflict, p.level, "%s", p.text)
			}
		}
	}
}

// tlsRule is a TLS setting of a DestinationRule.
type tlsRule struct {
	field  string
	mode   networking.ClientTLSSettings_TLSmode
	labels map[string]string // of the subset that it is for; nil for all
	// port is the one that it is for, 0 for all but those of except, whose settings take its place.
	port   uint32
	except []uint32
}

// tlsRules lists the TLS settings of a DestinationRule.
func tlsRules(dr *networking.DestinationRule) []tlsRule {
	var out []tlsRule
	take := func(path string, policy *networking.TrafficPolicy, labels map[string]string) {
		whole := tlsRule{field: path + ".tls.mode", mode: policy.GetTls().GetMode(), labels: labels}
		for i, s := range policy.GetPortLevelSettings() {
			whole.except = append(whole.except, s.GetPort().GetNumber())
			if s.GetTls() != nil {
				out = append(out, tlsRule{field: fmt.Sprintf("%s.portLevelSettings[%d].tls.mode", path, i), mode: s.GetTls().GetMode(), labels: labels, port: s.GetPort().GetNumber()})
			}
		}
		if policy.GetTls() != nil {
			out = append(out, whole)
		}
	}
	take("spec.trafficPolicy", dr.GetTrafficPolicy(), nil)
	for i, s := range dr.GetSubsets() {
		take(fmt.Sprintf("spec.subsets[%d].trafficPolicy", i), s.GetTrafficPolicy(), s.GetLabels())
	}
	return out
}

// counts tells whether a setting is for an endpoint of a service.
func (r tlsRule) counts(svc *model.Service, e model.Endpoint) bool {
	at := slices.IndexFunc(svc.Ports, func(p model.ServicePort) bool { return p.Name == e.ServicePort })
	if at < 0 || !model.HasLabels(e.Labels, r.labels) {
		return false
	}
	port := svc.Ports[at].Port
	return port == r.port || r.port == 0 && !slices.Contains(r.except, port)
}

// bareServer is a setting by which connections fail.
type bareServer struct {
	field string
	level Level
	text  string
}

// bareServersOf finds the settings of a rule that have clients of a service speak TLS to pods without a sidecar. Of TLS
// that is not the mesh's own the application may take it, which is told as no more than a hint.
func (m *mesh) bareServersOf(dr object[*networking.DestinationRule], svc *model.Service) []bareServer {
	if _, some := m.clientsOf(dr, svc); svc.External || !some {
		return nil
	}
	var out []bareServer
	for _, rule := range tlsRules(dr.spec) {
		if rule.mode == networking.ClientTLSSettings_DISABLE {
			continue
		}
		bare, all := m.bareEndpoints(svc, rule)
		switch {
		case len(bare) == 0:
		case rule.mode == networking.ClientTLSSettings_ISTIO_MUTUAL && len(bare) == all:
			out = append(out, bareServer{rule.field, Error, fmt.Sprintf(
				"mode %s has no server of %s that would take it: %s has no sidecar, so all connections fail; leave out tls, or give its pods sidecars", rule.mode, svc.Hostname, bare[0])})
		case rule.mode == networking.ClientTLSSettings_ISTIO_MUTUAL:
			out = append(out, bareServer{rule.field, Warning, fmt.Sprintf(
				"mode %s is for all servers of %s, and %s has no sidecar that would take it, so connections to it fail; leave out tls, so that clients tell the servers apart", rule.mode, svc.Hostname, bare[0])})
		default:
			out = append(out, bareServer{rule.field, Info, fmt.Sprintf(
				"mode %s is for servers that take TLS themselves: %s, a server of %s, has no sidecar, so its application has to", rule.mode, bare[0], svc.Hostname)})
		}
	}
	return out
}

// bareEndpoints gives the workloads without a sidecar behind a service that a setting is for, each once, and how many
// workloads there are. Gateways take what their servers say. Of machines it is not known what runs beside them.
func (m *mesh) bareEndpoints(svc *model.Service, rule tlsRule) (bare []*workload, all int) {
	seen := map[*workload]bool{}
	for _, e := range m.snapshot.Endpoints(svc.ID()) {
		w := m.index.pods[e.Namespace+"/"+e.Pod]
		if w == nil || seen[w] || !rule.counts(svc, e) {
			continue
		}
		seen[w] = true
		all++
		if !w.hasProxy() {
			bare = append(bare, w)
		}
	}
	return bare, all
}
