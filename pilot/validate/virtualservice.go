package validate

import (
	"math"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	"k8s.io/apimachinery/pkg/util/validation"
)

// meshGateway is the name under which a VirtualService addresses all sidecars.
const meshGateway = "mesh"

func (c *checker) virtualService(vs *networking.VirtualService) {
	c.stickySplit()
	delegate := len(vs.GetHosts()) == 0
	if len(vs.GetHttp())+len(vs.GetTls())+len(vs.GetTcp()) == 0 {
		c.fail("spec", "has no routes; add http, tls or tcp")
	}
	if delegate {
		if len(vs.GetGateways()) > 0 {
			c.fail("spec.gateways", "cannot be set without hosts: a VirtualService without hosts is a delegate; set hosts or remove gateways")
		}
		if len(vs.GetTls())+len(vs.GetTcp()) > 0 {
			c.fail("spec.hosts", "is missing; only http routes can be delegated")
		}
	}
	hosts := c.virtualServiceHosts(vs)
	c.gatewayNames("spec.gateways", vs.GetGateways())
	c.exportTo("spec.exportTo", vs.GetExportTo(), c.fail)
	caught := -1
	for i, route := range vs.GetHttp() {
		path := at("spec.http", i)
		if route == nil {
			c.missing(path)
			continue
		}
		if caught >= 0 {
			c.overridden(path, "is never reached, as http[%d] before it matches every request; put it before that one", caught)
		} else if catchesAll(route) {
			caught = i
		}
		c.httpRoute(path, route, delegate)
	}
	for i, route := range vs.GetTls() {
		c.tlsRoute(at("spec.tls", i), route, hosts)
	}
	for i, route := range vs.GetTcp() {
		c.tcpRoute(at("spec.tcp", i), route)
	}
}

// virtualServiceHosts checks the hosts, and gives them.
func (c *checker) virtualServiceHosts(vs *networking.VirtualService) *hostSet {
	toMesh := len(vs.GetGateways()) == 0 || slices.Contains(vs.GetGateways(), meshGateway)
	earlier := newHostSet()
	for i, host := range vs.GetHosts() {
		path := at("spec.hosts", i)
		other, overlaps := earlier.overlap(host)
		switch {
		case !isHostPattern(host) && !isIP(host):
			c.fail(path, "%q is no host; use a name, a wildcard such as *.example.com, or an address", host)
		case host == "*" && toMesh:
			c.fail(path, `"*" is not possible for sidecars; name the hosts, or set gateways without "mesh"`)
		case overlaps && other == host:
			c.fail(path, "names %q twice; remove one", host)
		case overlaps: // one rule for a host would be in two virtual hosts
			c.fail(path, "%q overlaps with %q; keep one of them, or put it into another VirtualService", host, other)
		}
		earlier.add(host)
	}
	return earlier
}

// gatewayNames checks references to Gateways: name, or namespace/name.
func (c *checker) gatewayNames(field string, names []string) {
	for i, name := range names {
		ns, short, qualified := strings.Cut(name, "/")
		if !qualified {
			ns, short = "", name
		}
		if !isHost(short) || qualified && ns != "." && len(validation.IsDNS1123Label(ns)) > 0 {
			c.fail(at(field, i), `%q is no Gateway; use its name, namespace/name, or "mesh"`, name)
		}
	}
}

// catchesAll tells whether a route matches every request.
func catchesAll(route *networking.HTTPRoute) bool {
	if route.GetDelegate() != nil {
		return false // whose rules may leave requests to the next ones
	}
	if len(route.GetMatch()) == 0 {
		return true
	}
	return slices.ContainsFunc(route.GetMatch(), func(m *networking.HTTPMatchRequest) bool {
		uri := m.GetUri()
		all := uri == nil || uri.GetPrefix() == "/" || uri.GetRegex() == ".*"
		return all && m.GetScheme() == nil && m.GetMethod() == nil && m.GetAuthority() == nil &&
			len(m.GetHeaders()) == 0 && len(m.GetWithoutHeaders()) == 0 && len(m.GetQueryParams()) == 0 &&
			m.GetPort() == 0 && len(m.GetSourceLabels()) == 0 && len(m.GetGateways()) == 0 && m.GetSourceNamespace() == ""
	})
}

func (c *checker) tlsRoute(path string, route *networking.TLSRoute, hosts *hostSet) {
	if len(route.GetMatch()) == 0 {
		c.fail(path+".match", "is missing; give at least one match with sniHosts")
	}
	for i, m := range route.GetMatch() {
		match := at(path+".match", i)
		if len(m.GetSniHosts()) == 0 {
			c.missing(match + ".sniHosts")
		}
		for j, sni := range m.GetSniHosts() {
			switch {
			case !isWildcardHost(sni) && !isIP(sni):
				c.fail(at(match+".sniHosts", j), "%q is no host", sni)
			default:
				if _, covered := hosts.covering(sni); !covered {
					c.fail(at(match+".sniHosts", j), "%q is in none of spec.hosts; add it there", sni)
				}
			}
		}
		c.l4Match(match, m.GetDestinationSubnets(), m.GetPort(), m.GetSourceLabels(), m.GetGateways())
	}
	c.routeDestinations(path, route.GetRoute())
}

func (c *checker) tcpRoute(path string, route *networking.TCPRoute) {
	for i, m := range route.GetMatch() {
		match := at(path+".match", i)
		c.l4Match(match, m.GetDestinationSubnets(), m.GetPort(), m.GetSourceLabels(), m.GetGateways())
		if m.GetSourceSubnet() != "" && !isSubnet(m.GetSourceSubnet()) {
			c.fail(match+".sourceSubnet", "%q is no subnet; use for example 10.0.0.0/8", m.GetSourceSubnet())
		}
	}
	c.routeDestinations(path, route.GetRoute())
}

func (c *checker) l4Match(path string, subnets []string, port uint32, labels map[string]string, gateways []string) {
	for i, subnet := range subnets {
		if !isSubnet(subnet) {
			c.fail(at(path+".destinationSubnets", i), "%q is no subnet; use for example 10.0.0.0/8", subnet)
		}
	}
	c.labels(path+".sourceLabels", labels)
	c.gatewayNames(path+".gateways", gateways)
}

// weighted is a destination of a route with its share.
type weighted interface {
	GetDestination() *networking.Destination
	GetWeight() int32
}

func (c *checker) routeDestinations(path string, routes []*networking.RouteDestination) {
	if len(routes) == 0 {
		c.missing(path + ".route")
	}
	shares := make([]weighted, len(routes))
	for i := range routes {
		shares[i] = routes[i]
	}
	c.weights(path+".route", shares)
}

// weights checks the shares of destinations. One destination alone gets everything.
func (c *checker) weights(path string, shares []weighted) {
	sum := int64(0)
	for i, s := range shares {
		if s.GetDestination() == nil {
			c.missing(at(path, i) + ".destination")
		}
		if s.GetWeight() < 0 {
			c.fail(at(path, i)+".weight", "%d is negative; use 0 or more", s.GetWeight())
		}
		sum += int64(s.GetWeight())
	}
	switch {
	case len(shares) > 1 && sum == 0:
		c.fail(path, "gives every destination the weight 0; give at least one a share")
	case sum > math.MaxUint32: // WeightedCluster in route_components.proto
		c.fail(path, "has weights that add up to %d; use at most %d in all", sum, uint32(math.MaxUint32))
	}
}
