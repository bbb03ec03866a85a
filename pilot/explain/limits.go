package explain

import (
	"fmt"
	"math"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// limits lists what bounds the use of a cluster, in the words of a DestinationRule: of its connection pool what is
// set, and when a server is ejected. Connections that are no HTTP count as requests that wait until they are made, and
// the limits of requests do not hold for them.
func limits(m *clusterv3.Cluster, http bool) []string {
	var pool, ejects []string
	count := func(name string, v *wrapperspb.UInt32Value, unset uint32) {
		n := unset
		if v != nil {
			n = v.GetValue()
		}
		if n != math.MaxUint32 { // Istio's for no limit
			pool = append(pool, fmt.Sprintf("%s %d", name, n))
		}
	}
	for _, t := range thresholds(m) {
		count("maxConnections", t.GetMaxConnections(), 1024)
		count("http1MaxPendingRequests", t.GetMaxPendingRequests(), 1024)
		if !http {
			continue
		}
		count("http2MaxRequests", t.GetMaxRequests(), 1024)
		if t.GetRetryBudget() == nil {
			count("maxRetries", t.GetMaxRetries(), 3)
		}
	}
	var out []string
	if len(pool) > 0 {
		end := map[bool]string{true: "gets 503", false: "is closed"}[http]
		out = append(out, fmt.Sprintf("limits: %s; what finds no place %s (UO)", strings.Join(pool, ", "), end))
	}
	if n := options(m).GetCommonHttpProtocolOptions().GetMaxRequestsPerConnection(); http && n.GetValue() > 0 {
		out = append(out, fmt.Sprintf("closes a connection after maxRequestsPerConnection %d", n.GetValue()))
	}
	o := m.GetOutlierDetection()
	if o == nil {
		return out
	}
	errors := func(name string, v, enforced *wrapperspb.UInt32Value) {
		if v.GetValue() > 0 && (enforced == nil || enforced.GetValue() > 0) {
			ejects = append(ejects, fmt.Sprintf("%s %d", name, v.GetValue()))
		}
	}
	errors("consecutive5xxErrors", o.GetConsecutive_5Xx(), o.GetEnforcingConsecutive_5Xx())
	errors("consecutiveGatewayErrors", o.GetConsecutiveGatewayFailure(), o.GetEnforcingConsecutiveGatewayFailure())
	errors("consecutiveLocalOriginFailures", o.GetConsecutiveLocalOriginFailure(), o.GetEnforcingConsecutiveLocalOriginFailure())
	if len(ejects) == 0 {
		return out
	}
	for _, d := range []struct {
		name  string
		value *durationpb.Duration
	}{{"interval", o.GetInterval()}, {"baseEjectionTime", o.GetBaseEjectionTime()}} {
		if d.value != nil {
			ejects = append(ejects, fmt.Sprintf("%s %s", d.name, d.value.AsDuration()))
		}
	}
	if p := o.GetMaxEjectionPercent(); p != nil {
		ejects = append(ejects, fmt.Sprintf("maxEjectionPercent %d", p.GetValue()))
	}
	return append(out, "ejects servers that fail: "+strings.Join(ejects, ", "))
}

// thresholds are those of a cluster; what they leave unset, as one that has none, is bounded by Envoy's own numbers
// (CircuitBreakers in circuit_breaker.proto).
func thresholds(m *clusterv3.Cluster) []*clusterv3.CircuitBreakers_Thresholds {
	if all := m.GetCircuitBreakers().GetThresholds(); len(all) > 0 {
		return all
	}
	return []*clusterv3.CircuitBreakers_Thresholds{{}}
}
