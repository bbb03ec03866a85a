package resolve

import (
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// httpPhase is where an HTTP filter stands among the others.
type httpPhase uint8

// The phases in the order in which requests pass them, which is Istio's: who may come in is decided
// before anything is done for a request, and what counts requests sees them as the router does. Filters
// of one phase keep the order in which they are given.
const (
	phaseCustomAuthz httpPhase = iota // external authorization (CUSTOM)
	phaseAuthn                        // JSON web tokens
	phaseAudit                        // role-based access: AUDIT, DENY, ALLOW
	phaseDeny
	phaseAllow
	phaseBridge // other protocols to gRPC
	phaseGRPCStats
	phaseALPN
	phaseFault
	phaseCORS
	phaseDynamic // finding the host that a request names
	phaseRouter
)

// placedFilter is an HTTP filter with its place.
type placedFilter struct {
	phase  httpPhase
	filter ir.HTTPFilter
}

// httpFilters puts the filters that every connection manager has, and further ones, in order. What takes
// requests of others has to say who may make them; nil is for what the workload itself sends.
func httpFilters(who *Authorization, further ...placedFilter) []ir.HTTPFilter {
	if who != nil {
		further = append(slices.Clone(who.http), further...)
	}
	fixed := !slices.ContainsFunc(further, reroutes)
	all := append([]placedFilter{
		{phaseGRPCStats, ir.GRPCStats{}},
		{phaseFault, ir.FaultInjection{OnDemand: fixed}},
		{phaseCORS, ir.CrossOrigin{OnDemand: fixed}},
		{phaseRouter, ir.Router{}},
	}, further...)
	slices.SortStableFunc(all, func(a, b placedFilter) int { return int(a.phase) - int(b.phase) })
	out := make([]ir.HTTPFilter, len(all))
	for i, p := range all {
		out[i] = p.filter
	}
	return out
}

// reroutes tells whether a filter may have another route chosen for a request. Envoy has made the request's filters by
// then, as the first route wants them.
func reroutes(p placedFilter) bool {
	switch f := p.filter.(type) {
	case *ir.TokenCheck:
		return f.Reroute
	case *ir.ExtAuthz:
		return f.ClearRouteCache
	}
	return false
}

// grpcWeb gives the filter that a place needs which is reached by gRPC-Web, or none.
func grpcWeb(reached bool) []placedFilter {
	if !reached {
		return nil
	}
	return []placedFilter{{phaseBridge, ir.GRPCWeb{}}}
}

// clusterALPN is for what sends to clusters of the mesh.
func clusterALPN() placedFilter { return placedFilter{phaseALPN, ir.ClusterALPN{}} }

// terminal gives the filters of a chain that end in one.
func terminal(f ir.NetworkFilter) []ir.NetworkFilter { return []ir.NetworkFilter{f} }
