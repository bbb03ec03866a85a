package resolve

import (
	"cmp"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// forward translates a rule that sends requests to destinations. authority is what the rule's
// headers set the host to, "" for nothing.
func (s *ruleSet) forward(field string, rule *networking.HTTPRoute, authority string) *ir.Forward {
	out := &ir.Forward{Authority: authority, Timeout: rule.GetTimeout().AsDuration()}
	s.destinations(field, rule.GetRoute(), out)
	if len(out.Clusters) > 1 {
		out.Sticky = s.sticky()
	}
	hashed := len(out.Clusters) == 1 && len(out.Hash) > 0
	out.Retry = retry(s.r, rule.GetRetries(), hashed)
	rewrite(rule.GetRewrite(), out)
	out.Mirrors = s.mirrors(field, rule)
	return out
}

// loneHeaders moves the headers of a rule's only destination behind those of the rule, as Istio does. By
// itself Envoy changes those of a destination first, which stays so where there are several.
func loneHeaders(f *ir.Forward, rule ir.HeaderOperations) ir.HeaderOperations {
	c := &f.Clusters[0]
	out := ir.HeaderOperations{Request: then(rule.Request, c.Headers.Request), Response: then(rule.Response, c.Headers.Response)}
	f.Authority = cmp.Or(f.Authority, c.Authority)
	c.Headers, c.Authority = ir.HeaderOperations{}, ""
	return out
}

// destinations translates the weighted destinations of a rule. Those without weight get no
// traffic, but a lone one needs none.
func (s *ruleSet) destinations(field string, routes []*networking.HTTPRouteDestination, out *ir.Forward) {
	shares := weights(routes)
	for i, d := range routes {
		if shares[i] == 0 {
			continue
		}
		at := fmt.Sprintf("%s.route[%d]", field, i)
		target := s.destination(at+".destination", d.GetDestination())
		headers, authority := s.headers(at+".headers", d.GetHeaders())
		out.Clusters = append(out.Clusters, ir.WeightedCluster{
			Name: target.cluster, Weight: shares[i], Headers: headers, Authority: authority,
			DynamicPort: dynamicPort(target.service, target.port),
		})
		for _, h := range HashPolicies(s.r, s.c, target.service, target.port, target.subset) {
			if !slices.ContainsFunc(out.Hash, func(o ir.HashPolicy) bool { return reflect.DeepEqual(o, h) }) {
				out.Hash = append(out.Hash, h)
			}
		}
	}
}

// sticky gives what an annotation says that the rule's requests are split by. That it makes no sense, the
// source tells.
func (s *ruleSet) sticky() *ir.HashPolicy {
	split, err := model.ParseStickySplit(s.written().Annotations[model.AnnotationStickySplit])
	switch {
	case err != nil:
		return nil
	case split.Cookie != "":
		return &ir.HashPolicy{Cookie: &ir.HashCookie{Name: split.Cookie}}
	}
	return &ir.HashPolicy{Header: split.Header}
}

// weights gives the shares of destinations; a lone destination gets everything.
func weights[D interface{ GetWeight() int32 }](destinations []D) []uint32 {
	if len(destinations) == 1 {
		return []uint32{1}
	}
	out := make([]uint32, len(destinations))
	for i, d := range destinations {
		out[i] = uint32(d.GetWeight())
	}
	return out
}

// target is a destination as clusters know it.
type target struct {
	cluster string
	service *model.Service // nil where it is unknown
	port    *model.ServicePort
	subset  string
}

// destination finds the cluster of a destination. Without a port it is the service's only one,
// else the listener's. An unknown service yields a cluster name as well: it may come later.
func (s *ruleSet) destination(field string, d *networking.Destination) target {
	host := model.ResolveHost(d.GetHost(), s.vs.Namespace, s.r.Domain())
	svc := s.service(host)
	if svc == nil {
		host = concrete(s.r, s.c.Namespace, host)
		svc = s.service(host)
	}
	port := d.GetPort().GetNumber()
	if port == 0 {
		port = s.port
		if svc != nil && svc.OnlyPort() != nil {
			port = svc.OnlyPort().Port
		}
	}
	t := target{cluster: model.ClusterName("outbound", port, d.GetSubset(), host), service: svc, subset: d.GetSubset()}
	if svc != nil {
		t.port = svc.PortByNumber(port)
	}
	s.checkReference(field, host, port, t, d.GetPort().GetNumber() == 0)
	return t
}

// checkReference warns of destinations that lead nowhere. implied tells that the port is that of the requests.
func (s *ruleSet) checkReference(field, host string, port uint32, t target, implied bool) {
	end := "requests get a 503"
	switch {
	case !strings.HasPrefix(field, "spec.http"):
		end = "connections end"
	case strings.Contains(field, ".mirror"):
		end = "no copies are sent"
	}
	switch {
	case t.service == nil:
		s.warn(field+".host", model.ReasonReference, "no service "+host+" is visible to the proxies that the rule is for; "+end+" until there is one")
	case t.port == nil && implied:
		if s.addressed() {
			s.warn(field+".port", model.ReasonReference, fmt.Sprintf("names no port, and service %s has no port %d, which the rule's requests have; say which, until then %s", host, port, end))
		}
	case t.port == nil:
		s.warn(field+".port", model.ReasonReference, fmt.Sprintf("service %s has no port %d; %s until it has one", host, port, end))
	case t.subset != "":
		if ruleFor(s.r, s.c, t.service).subset(t.subset) == nil {
			s.warn(field+".subset", model.ReasonReference, fmt.Sprintf("no DestinationRule in force for %s has a subset %q; %s until one has", host, t.subset, end))
		}
	}
}

// addressed tells whether a client can mean the port: a service that is named as a host has to have it, as its requests to
// other ports go where there is nothing. Other hosts are known on the ports on which there are rules.
func (s *ruleSet) addressed() bool {
	if !s.here([]string{model.MeshGateway}) {
		return true
	}
	for host := range hostsOf(s.r, s.vs.Object) {
		if svc := s.service(host); svc == nil || svc.PortByNumber(s.port) != nil {
			return true
		}
	}
	return false
}

// mirrors translates the old field and the new one, which a rule has both where one of them is a delegating rule's. No
// percentage means all requests.
func (s *ruleSet) mirrors(field string, rule *networking.HTTPRoute) []ir.Mirror {
	policies := slices.Clone(rule.GetMirrors())
	at := func(i int) string { return fmt.Sprintf("%s.mirrors[%d].destination", field, i) }
	if rule.GetMirror() != nil {
		p := rule.GetMirrorPercentage()
		//lint:ignore SA1019 users still write it
		if old := rule.GetMirrorPercent(); p == nil && old != nil {
			p = &networking.Percent{Value: float64(old.GetValue())}
		}
		policies = slices.Insert(policies, 0, &networking.HTTPMirrorPolicy{Destination: rule.GetMirror(), Percentage: p})
		item := at
		at = func(i int) string {
			if i == 0 {
				return field + ".mirror"
			}
			return item(i - 1)
		}
	}
	var out []ir.Mirror
	for i, p := range policies {
		share := ir.FractionAll
		if p.GetPercentage() != nil {
			share = shareOf(p.GetPercentage())
		}
		t := s.destination(at(i), p.GetDestination())
		if dynamicPort(t.service, t.port) != 0 { // a copy passes no filter that would find the host
			s.warn(at(i), model.ReasonNotTranslated, t.service.Hostname+" has resolution DYNAMIC_DNS, which mirrors are not sent to; there is no copy")
			continue
		}
		if share > 0 {
			out = append(out, ir.Mirror{Cluster: t.cluster, Share: share})
		}
	}
	return out
}

// shareOf translates a percentage to millionths.
func shareOf(p *networking.Percent) ir.Fraction {
	return ir.Fraction(math.Round(p.GetValue() * 10_000))
}
