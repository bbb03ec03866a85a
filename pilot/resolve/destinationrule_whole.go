package resolve

import (
	"cmp"
	"net"
	"strconv"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// wholePolicy holds the parts of a traffic policy that settings of a port do not have. A subset's stand in the place
// of the rule's. As settings of a port inherit nothing, a policy that has any for it leaves out these parts for
// that port, but for the tunnel.
type wholePolicy struct {
	budget *networking.TrafficPolicy_RetryBudget
	proxy  *networking.TrafficPolicy_ProxyProtocol
	tunnel *networking.TrafficPolicy_TunnelSettings
}

func (d *destinationRule) wholePolicy(subset string, port uint32) wholePolicy {
	var out wholePolicy
	sources := []policySource{d.policy}
	if s := d.subset(subset); s != nil {
		sources = append(sources, s.policy)
	}
	for _, s := range sources {
		out.tunnel = cmp.Or(s.spec.GetTunnel(), out.tunnel)
		if _, _, ofPort := s.at(port); !ofPort {
			out.budget = cmp.Or(s.spec.GetRetryBudget(), out.budget)
			out.proxy = cmp.Or(s.spec.GetProxyProtocol(), out.proxy)
		}
	}
	return out
}

// Istio's defaults of a budget.
const (
	defaultBudgetPercent = 20
	defaultBudgetLeast   = 3
)

// apply puts what concerns clusters over the basics.
func (w wholePolicy) apply(cl *ir.Cluster) {
	if b := w.budget; b != nil {
		budget := &ir.RetryBudget{Percent: defaultBudgetPercent, Least: defaultBudgetLeast}
		if p := b.GetPercent(); p != nil {
			budget.Percent = p.GetValue()
		}
		if n := b.GetMinRetryConcurrency(); n > 0 {
			budget.Least = n
		}
		budget.Interval = b.GetBudgetInterval().AsDuration()
		cl.Breakers.RetryBudget = budget
	}
	if w.proxy != nil {
		cl.ProxyProtocol = ir.ProxyVersion1
		if w.proxy.GetVersion() == networking.TrafficPolicy_ProxyProtocol_V2 {
			cl.ProxyProtocol = ir.ProxyVersion2
		}
	}
}

// tunnelTo gives the tunnel that TCP goes through; nil for none.
func (w wholePolicy) tunnelTo() *ir.Tunnel {
	if w.tunnel.GetTargetHost() == "" {
		return nil
	}
	return &ir.Tunnel{
		Target: net.JoinHostPort(w.tunnel.GetTargetHost(), strconv.FormatUint(uint64(w.tunnel.GetTargetPort()), 10)),
		POST:   w.tunnel.GetProtocol() == "POST",
	}
}
