package resolve

import (
	"fmt"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// trafficPolicy is what is in force for one port of a service, or of one of its subsets.
type trafficPolicy struct {
	pool    block[*networking.ConnectionPoolSettings]
	balance block[*networking.LoadBalancerSettings]
	outlier block[*networking.OutlierDetection]
	tls     block[*networking.ClientTLSSettings]
	whole   wholePolicy
}

// block is one part of a traffic policy with the place where it is written, so that a problem
// can name it. The object is nil for what the mesh configuration says.
type block[T any] struct {
	spec   T
	object *model.Object
	field  string
}

// policyFor composes the policy: that of the rule, and over it, block by block, that of the subset. The
// settings of a port, of either, inherit nothing: what they leave out is unset.
func policyFor(r Reader, d *destinationRule, subset string, port uint32) trafficPolicy {
	var t trafficPolicy
	if d != nil {
		if source, p := portSettings(d.policy, port); p != nil {
			t.overlay(source, p)
		} else {
			t.overlay(d.policy, d.policy.spec)
		}
		if s := d.subset(subset); s != nil {
			if source, p := portSettings(s.policy, port); p != nil {
				t = trafficPolicy{}
				t.overlay(source, p)
			} else {
				t.overlay(s.policy, s.policy.spec)
			}
		}
		t.whole = d.wholePolicy(subset)
	}
	base := r.Mesh().GetDefaultTrafficPolicy()
	mesh := &model.Object{Key: model.Key{Kind: model.KindMeshConfig, Namespace: model.RootNamespace, Name: model.MeshConfigName}}
	if t.pool.spec == nil && base.GetConnectionPool() != nil {
		t.pool = block[*networking.ConnectionPoolSettings]{base.GetConnectionPool(), mesh, "defaultTrafficPolicy.connectionPool"}
	}
	if t.outlier.spec == nil && base.GetOutlierDetection() != nil {
		t.outlier = block[*networking.OutlierDetection]{base.GetOutlierDetection(), mesh, "defaultTrafficPolicy.outlierDetection"}
	}
	return t
}

// policyBlocks is what a traffic policy and its port settings have in common.
type policyBlocks interface {
	GetConnectionPool() *networking.ConnectionPoolSettings
	GetLoadBalancer() *networking.LoadBalancerSettings
	GetOutlierDetection() *networking.OutlierDetection
	GetTls() *networking.ClientTLSSettings
}

func (t *trafficPolicy) overlay(s policySource, p policyBlocks) {
	if v := p.GetConnectionPool(); v != nil {
		t.pool = block[*networking.ConnectionPoolSettings]{v, s.object, s.field + ".connectionPool"}
	}
	if v := p.GetLoadBalancer(); v != nil {
		t.balance = block[*networking.LoadBalancerSettings]{v, s.object, s.field + ".loadBalancer"}
	}
	if v := p.GetOutlierDetection(); v != nil {
		t.outlier = block[*networking.OutlierDetection]{v, s.object, s.field + ".outlierDetection"}
	}
	if v := p.GetTls(); v != nil {
		t.tls = block[*networking.ClientTLSSettings]{v, s.object, s.field + ".tls"}
	}
}

func portSettings(s policySource, port uint32) (policySource, *networking.TrafficPolicy_PortTrafficPolicy) {
	for i, p := range s.spec.GetPortLevelSettings() {
		if p.GetPort().GetNumber() == port {
			return policySource{s.spec, s.object, fmt.Sprintf("%s.portLevelSettings[%d]", s.field, i)}, p
		}
	}
	return s, nil
}

// HashPolicies gives what routes to a subset of a service ("" for all of it) hash requests by,
// as its DestinationRule asks; empty without consistent hashing.
func HashPolicies(r Reader, c *Class, svc *model.Service, port *model.ServicePort, subset string) []ir.HashPolicy {
	rule, _ := ruleFor(r, c, svc)
	hash := policyFor(r, rule, subset, port.Port).balance.spec.GetConsistentHash()
	switch key := hash.GetHashKey().(type) {
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpHeaderName:
		if key.HttpHeaderName != "" {
			return []ir.HashPolicy{{Header: key.HttpHeaderName}}
		}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpQueryParameterName:
		if key.HttpQueryParameterName != "" {
			return []ir.HashPolicy{{QueryParam: key.HttpQueryParameterName}}
		}
	case *networking.LoadBalancerSettings_ConsistentHashLB_UseSourceIp:
		if key.UseSourceIp {
			return []ir.HashPolicy{{SourceIP: true}}
		}
	case *networking.LoadBalancerSettings_ConsistentHashLB_HttpCookie:
		cookie := key.HttpCookie
		if cookie.GetName() == "" {
			return nil
		}
		out := &ir.HashCookie{Name: cookie.GetName(), Path: cookie.GetPath()}
		if ttl, ok := duration(cookie.GetTtl()); ok {
			out.TTL = &ttl
		}
		for _, a := range cookie.GetAttributes() {
			out.Attributes = append(out.Attributes, ir.CookieAttribute{Name: a.GetName(), Value: a.GetValue()})
		}
		return []ir.HashPolicy{{Cookie: out}}
	}
	return nil
}

// TCPPolicy gives the part of a subset's policy that a TCP proxy filter needs.
func TCPPolicy(r Reader, c *Class, svc *model.Service, port *model.ServicePort, subset string) ir.TCPPolicy {
	rule, _ := ruleFor(r, c, svc)
	policy := policyFor(r, rule, subset, port.Port)
	tcp, out := policy.pool.spec.GetTcp(), ir.TCPPolicy{Tunnel: policy.whole.tunnelTo()}
	if d, ok := duration(tcp.GetIdleTimeout()); ok {
		out.IdleTimeout = &d
	}
	if d, ok := duration(tcp.GetMaxConnectionDuration()); ok && d >= time.Millisecond {
		out.MaxConnectionDuration = d
	}
	return out
}
