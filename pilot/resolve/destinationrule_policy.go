package resolve

import (
	"fmt"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// trafficPolicy is what is in force for one port of a service, or of one of its subsets.
type trafficPolicy struct {
	pool    block[networking.ConnectionPoolSettings]
	balance block[networking.LoadBalancerSettings]
	outlier block[networking.OutlierDetection]
	tls     block[networking.ClientTLSSettings]
	whole   wholePolicy
}

// block is one part of a traffic policy with the place where it is written, so that a problem
// can name it. The object is nil for what the mesh configuration says.
type block[T any] struct {
	spec   *T // nil for none
	object *model.Object
	field  string
}

// policyFor composes the policy: that of the rule, and over it, block by block, that of the subset. The
// settings of a port, of either, inherit nothing: what they leave out is unset.
func policyFor(r Reader, d *destinationRule, subset string, port uint32) trafficPolicy {
	var mesh trafficPolicy
	if base := r.Mesh().GetDefaultTrafficPolicy(); base != nil {
		source := policySource{object: meshObject(), field: "defaultTrafficPolicy"}
		mesh.pool.overlay(source, ".connectionPool", base.GetConnectionPool())
		mesh.outlier.overlay(source, ".outlierDetection", base.GetOutlierDetection())
	}
	if d == nil {
		return mesh
	}
	source, p, _ := d.policy.at(port)
	t := mesh.over(source, p)
	if s := d.subset(subset); s != nil {
		source, p, ofPort := s.policy.at(port)
		if ofPort {
			t = mesh
		}
		t = t.over(source, p)
	}
	t.whole = d.wholePolicy(subset, port)
	return t
}

// policyBlocks is what a traffic policy and its port settings have in common.
type policyBlocks interface {
	GetConnectionPool() *networking.ConnectionPoolSettings
	GetLoadBalancer() *networking.LoadBalancerSettings
	GetOutlierDetection() *networking.OutlierDetection
	GetTls() *networking.ClientTLSSettings
}

// over gives what is in force where a policy stands over this one.
func (t trafficPolicy) over(s policySource, p policyBlocks) trafficPolicy {
	t.pool.overlay(s, ".connectionPool", p.GetConnectionPool())
	t.balance.overlay(s, ".loadBalancer", p.GetLoadBalancer())
	t.outlier.overlay(s, ".outlierDetection", p.GetOutlierDetection())
	t.tls.overlay(s, ".tls", p.GetTls())
	return t
}

// overlay takes what a policy says, if it says anything.
func (b *block[T]) overlay(s policySource, field string, spec *T) {
	if spec != nil {
		*b = block[T]{spec, s.object, s.field + field}
	}
}

// at gives the settings of a port where it has any, else the policy itself.
func (s policySource) at(port uint32) (_ policySource, _ policyBlocks, ofPort bool) {
	for i, p := range s.spec.GetPortLevelSettings() {
		if p.GetPort().GetNumber() == port {
			return policySource{s.spec, s.object, fmt.Sprintf("%s.portLevelSettings[%d]", s.field, i)}, p, true
		}
	}
	return s, s.spec, false
}

// policyOf finds the policy for a subset of a service ("" for all of it); that of an unknown service or port says nothing.
func policyOf(r Reader, c *Class, svc *model.Service, port *model.ServicePort, subset string) trafficPolicy {
	if svc == nil || port == nil {
		return trafficPolicy{}
	}
	return policyFor(r, ruleFor(r, c, svc), subset, port.Port)
}

// HashPolicies gives what routes to a subset of a service ("" for all of it) hash requests by,
// as its DestinationRule asks; empty without consistent hashing.
func HashPolicies(r Reader, c *Class, svc *model.Service, port *model.ServicePort, subset string) []ir.HashPolicy {
	hash := policyOf(r, c, svc, port, subset).balance.spec.GetConsistentHash()
	switch key := hash.GetHashKey().(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName:
		return []ir.HashPolicy{{Header: key.HttpHeaderName}}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpQueryParameterName:
		return []ir.HashPolicy{{QueryParam: key.HttpQueryParameterName}}
	case *networking.LoadBalancerSettings_ConsistentHashLB_UseSourceIp:
		if key.UseSourceIp {
			return []ir.HashPolicy{{SourceIP: true}}
		}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		cookie := key.HttpCookie
		out := &ir.HashCookie{Name: cookie.GetName(), Path: cookie.GetPath(), TTL: optional(cookie.GetTtl())}
		for _, a := range cookie.GetAttributes() {
			out.Attributes = append(out.Attributes, ir.CookieAttribute{Name: a.GetName(), Value: a.GetValue()})
		}
		return []ir.HashPolicy{{Cookie: out}}
	}
	return nil
}

// TCPPolicy gives the part of a subset's policy that a TCP proxy filter needs.
func TCPPolicy(r Reader, c *Class, svc *model.Service, port *model.ServicePort, subset string) ir.TCPPolicy {
	policy := policyOf(r, c, svc, port, subset)
	return ir.TCPPolicy{
		Tunnel:                policy.whole.tunnelTo(),
		HashSourceIP:          policy.balance.spec.GetConsistentHash().GetUseSourceIp(),
		IdleTimeout:           idleTimeout(policy.pool.spec),
		MaxConnectionDuration: policy.pool.spec.GetTcp().GetMaxConnectionDuration().AsDuration(),
	}
}
