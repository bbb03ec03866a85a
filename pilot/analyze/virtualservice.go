package analyze

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// destinations calls do with each destination of a VirtualService.
func destinations(vs *networking.VirtualService, do func(field string, d *networking.Destination)) {
	for i, rule := range vs.GetHttp() {
		for j, r := range rule.GetRoute() {
			do(fmt.Sprintf("spec.http[%d].route[%d].destination", i, j), r.GetDestination())
		}
		if rule.GetMirror() != nil {
			do(fmt.Sprintf("spec.http[%d].mirror", i), rule.GetMirror())
		}
		for j, r := range rule.GetMirrors() {
			do(fmt.Sprintf("spec.http[%d].mirrors[%d].destination", i, j), r.GetDestination())
		}
	}
	for i, rule := range vs.GetTcp() {
		for j, r := range rule.GetRoute() {
			do(fmt.Sprintf("spec.tcp[%d].route[%d].destination", i, j), r.GetDestination())
		}
	}
	for i, rule := range vs.GetTls() {
		for j, r := range rule.GetRoute() {
			do(fmt.Sprintf("spec.tls[%d].route[%d].destination", i, j), r.GetDestination())
		}
	}
}

// missingDestinations finds destinations that do not exist: the host, its port or its subset.
func missingDestinations(m *mesh) {
	subsets := m.subsets()
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		unnamed := map[string]bool{}
		destinations(vs.spec, func(field string, d *networking.Destination) {
			if d == nil {
				return
			}
			host := model.ResolveHost(d.GetHost(), vs.Namespace, m.domain)
			services := m.hosts[host]
			if len(services) == 0 && host == m.usualIngressHost() {
				m.report(vs.Object, field+".host", notFound, Info, usualIngressOnly)
				return
			}
			if len(services) == 0 {
				m.report(vs.Object, field+".host", notFound, Error, "there is no service %q (%s); create it, or correct the name", d.GetHost(), host)
				return
			}
			m.destinationPort(vs.Object, field, d, services[0], unnamed)
			if d.GetSubset() != "" && !subsets.has(host, d.GetSubset()) {
				m.report(vs.Object, field+".subset", notFound, Error, "no DestinationRule of host %s has a subset %q; add it there, or correct the name", host, d.GetSubset())
			}
		})
	}
}

// destinationPort tells of a port that a service does not have, or has several of where none is named: of each service
// that once, in unnamed.
func (m *mesh) destinationPort(vs *model.Object, field string, d *networking.Destination, svc *model.Service, unnamed map[string]bool) {
	var ports []string
	for _, p := range svc.Ports {
		if p.Protocol != model.ProtocolUDP {
			ports = append(ports, fmt.Sprint(p.Port))
		}
	}
	switch n := d.GetPort().GetNumber(); {
	case n == 0 && len(ports) > 1:
		if unnamed[svc.Hostname] {
			return
		}
		unnamed[svc.Hostname] = true
		m.report(vs, field+".port", portRequired, Error, "service %s has several ports (%s); say which with port.number, at each destination", svc.Hostname, strings.Join(ports, ", "))
	case n != 0 && svc.PortByNumber(n) == nil:
		m.report(vs, field+".port", notFound, Error, "service %s has no port %d; use one of %s", svc.Hostname, n, strings.Join(ports, ", "))
	}
}

// subsets are those that DestinationRules have, by host.
type subsets struct {
	of   map[[2]string]bool // by host and name
	wild [][2]string        // of hosts that begin with "*"
}

func (m *mesh) subsets() *subsets {
	out := &subsets{of: map[[2]string]bool{}}
	for _, dr := range of[*networking.DestinationRule](m, model.KindDestinationRule) {
		host := model.ResolveHost(dr.spec.GetHost(), dr.Namespace, m.domain)
		for _, s := range dr.spec.GetSubsets() {
			at := [2]string{host, s.GetName()}
			if strings.HasPrefix(host, "*") && !out.of[at] {
				out.wild = append(out.wild, at)
			}
			out.of[at] = true
		}
	}
	return out
}

func (s *subsets) has(host, name string) bool {
	return s.of[[2]string{host, name}] || slices.ContainsFunc(s.wild, func(at [2]string) bool { return at[1] == name && model.HostCovers(at[0], host) })
}

// unknownVirtualServiceHosts finds hosts within the cluster that no service has, whose rules nobody
// asks for.
func unknownVirtualServiceHosts(m *mesh) {
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		for i, short := range vs.spec.GetHosts() {
			host := model.ResolveHost(short, vs.Namespace, m.domain)
			if model.BoundToMesh(vs.spec.GetGateways()) && strings.HasSuffix(host, ".svc."+m.domain) && !strings.HasPrefix(host, "*") && len(m.hosts[host]) == 0 && host != m.usualIngressHost() {
				m.report(vs.Object, fmt.Sprintf("spec.hosts[%d]", i), notFound, Warning, "there is no service %q (%s), so sidecars have no use for the rules; create it, or correct the name", short, host)
			}
		}
	}
}

// conflictingHosts finds VirtualServices of which sidecars follow one only, for a host that both have.
func conflictingHosts(m *mesh) {
	var all []object[*networking.VirtualService]
	for _, vs := range of[*networking.VirtualService](m, model.KindVirtualService) {
		if model.BoundToMesh(vs.spec.GetGateways()) {
			all = append(all, vs)
		}
	}
	slices.SortStableFunc(all, func(a, b object[*networking.VirtualService]) int { return model.Older(a.Object, b.Object) })
	earlier := crowd[audienceOf, *model.Object]{}
	for at, vs := range all {
		seen := m.exported(vs)
		for k, host := range vs.spec.GetHosts() {
			full := model.ResolveHost(host, vs.Namespace, m.domain)
			has, meets := audiencesOf(full, seen)
			if others := earlier.before(at, meets...); len(others) > 0 {
				m.reportPairs(vs.Object, others, fmt.Sprintf("spec.hosts[%d]", k), conflictingMeshHosts, Error,
					"has rules for host %s as well, and sidecars follow one of them only; put all rules into one VirtualService", full)
			}
			earlier.join(at, vs.Object, has...)
		}
	}
}

// audienceOf is who sees the rules for a host: a namespace, "*" for all of them, or "" for anybody.
type audienceOf struct{ host, namespace string }

// audiencesOf gives those that see rules for a host, and those of which some namespace sees both.
func audiencesOf(host string, seen model.Audience) (has, meets []audienceOf) {
	anybody, everyone := audienceOf{host, ""}, audienceOf{host, "*"}
	switch {
	case seen.Everyone:
		return []audienceOf{anybody, everyone}, []audienceOf{anybody}
	case len(seen.Namespaces) == 0:
		return nil, nil
	}
	has, meets = []audienceOf{anybody}, []audienceOf{everyone}
	for _, namespace := range seen.Namespaces {
		has, meets = append(has, audienceOf{host, namespace}), append(meets, audienceOf{host, namespace})
	}
	return has, meets
}

// exported gives the namespaces that see a VirtualService.
func (m *mesh) exported(vs object[*networking.VirtualService]) model.Audience {
	return model.VirtualServiceAudience(m.config, vs.spec, vs.Namespace)
}
