package resolve

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// outboundTokens checks the tokens of requests that a sidecar's workload sends, so that routes can ask for their
// claims: by the RequestAuthentications in force for that workload, which are those that check what it receives.
// It refuses nothing and changes nothing in a request, whose token may well be for somebody whom nothing here
// knows. There is no such filter where no VirtualService that the class sees asks for claims.
func outboundTokens(v *view) []placedFilter {
	if !v.r.RoutesByClaims(v.c.Namespace) {
		return nil
	}
	v.r.Note(factTokens)
	check := &ir.TokenCheck{Lenient: true, Reroute: true}
	// What is wrong with them is reported where they check what the workload receives.
	check.Providers, _ = tokenProviders(v.r, attached(v.r, v.c, v.r.RequestAuthentications, v.c.OutboundTokens))
	if len(check.Providers) == 0 {
		return nil
	}
	for i := range check.Providers {
		p := &check.Providers[i]
		p.Forward, p.PayloadHeader, p.ClaimHeaders = true, "", nil
	}
	return []placedFilter{{phaseAuthn, check}}
}

// outboundTokenPolicies gives those of the RequestAuthentications for some workloads that check what a sidecar's
// workload sends, if any do.
func outboundTokenPolicies(r Reader, p *model.Proxy, policies []model.Key) []model.Key {
	if p.Type == model.RouterProxy || !r.RoutesByClaims(p.Namespace) {
		return nil
	}
	return policies
}
