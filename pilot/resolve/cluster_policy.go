package resolve

import (
	"fmt"
	"math"
	"math/big"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// defaultConnectTimeout is what holds where the mesh configuration has none.
const defaultConnectTimeout = 10 * time.Second

// unlimited is the default of every circuit breaker: Envoy's own limit of 1024 surprises users.
var unlimited = ir.Breakers{
	MaxConnections: math.MaxUint32, MaxPendingRequests: math.MaxUint32,
	MaxRequests: math.MaxUint32, MaxRetries: math.MaxUint32,
}

// connectionBasics gives what every cluster gets from the mesh configuration.
func connectionBasics(mesh *meshconfig.MeshConfig, cl *ir.Cluster) {
	cl.ConnectTimeout = defaultConnectTimeout
	if d, ok := duration(mesh.GetConnectTimeout()); ok && d > 0 {
		cl.ConnectTimeout = d
	}
	cl.Keepalive = keepalive(nil, mesh.GetTcpKeepalive())
	cl.Breakers = unlimited
}

// upstreamVersion is how HTTP is spoken to a port where no policy says otherwise.
func upstreamVersion(p model.Protocol) ir.Upstream {
	switch {
	case p.IsHTTP2():
		return ir.UpstreamHTTP2
	case p == model.ProtocolAuto:
		return ir.UpstreamDownstream
	}
	return ir.UpstreamHTTP1
}

// pooledVersion is how HTTP is spoken to a port of a service. A rule that upgrades means a port that it knows to carry
// HTTP, whatever the port says of itself; the mesh's upgrade is for those that say it.
func pooledVersion(mesh *meshconfig.MeshConfig, http *networking.ConnectionPoolSettings_HTTPSettings, p model.Protocol) ir.Upstream {
	upgrade := http.GetH2UpgradePolicy()
	switch {
	case http.GetUseClientProtocol():
		return ir.UpstreamDownstream
	case upgrade == networking.ConnectionPoolSettings_HTTPSettings_UPGRADE,
		upgrade == networking.ConnectionPoolSettings_HTTPSettings_DEFAULT && p.IsHTTP() && mesh.GetH2UpgradePolicy() == meshconfig.MeshConfig_UPGRADE:
		return ir.UpstreamHTTP2
	}
	return upstreamVersion(p)
}

// applyPool applies connection pool settings over the basics.
func applyPool(pool *networking.ConnectionPoolSettings, cl *ir.Cluster) {
	tcp, http := pool.GetTcp(), pool.GetHttp()
	if d, ok := duration(tcp.GetConnectTimeout()); ok && d > 0 {
		cl.ConnectTimeout = d
	}
	cl.Keepalive = keepalive(cl.Keepalive, tcp.GetTcpKeepalive())
	if d, ok := duration(tcp.GetMaxConnectionDuration()); ok {
		cl.HTTP.MaxConnectionDuration = d
	}
	limit(&cl.Breakers.MaxConnections, tcp.GetMaxConnections())
	limit(&cl.Breakers.MaxPendingRequests, http.GetHttp1MaxPendingRequests())
	limit(&cl.Breakers.MaxRequests, http.GetHttp2MaxRequests())
	limit(&cl.Breakers.MaxRetries, http.GetMaxRetries())
	limit(&cl.HTTP.MaxRequestsPerConnection, http.GetMaxRequestsPerConnection())
	limit(&cl.HTTP.MaxConcurrentStreams, http.GetMaxConcurrentStreams())
	// As in Istio, connections of HTTP are idle for as long as those of TCP where nothing else is said.
	idle := http.GetIdleTimeout()
	if idle == nil {
		idle = tcp.GetIdleTimeout()
	}
	if d, ok := duration(idle); ok {
		cl.HTTP.IdleTimeout = &d
	}
	interval, hasInterval := duration(http.GetHttp2KeepAlive().GetInterval())
	timeout, hasTimeout := duration(http.GetHttp2KeepAlive().GetTimeout())
	if hasInterval && hasTimeout && interval >= time.Millisecond && timeout >= time.Millisecond {
		cl.HTTP.KeepaliveInterval, cl.HTTP.KeepaliveTimeout = interval, timeout
	}
}

// applyBalance applies load balancer settings to an EDS cluster.
func applyBalance(b block[networking.LoadBalancerSettings], cl *ir.Cluster) []model.Problem {
	var problems []model.Problem
	switch b.spec.GetSimple() {
	case networking.LoadBalancerSettings_ROUND_ROBIN:
		cl.Balancing = ir.BalanceRoundRobin
	case networking.LoadBalancerSettings_RANDOM:
		cl.Balancing = ir.BalanceRandom
	case networking.LoadBalancerSettings_PASSTHROUGH:
		originalDestination(cl)
		return nil
	}
	if hash := b.spec.GetConsistentHash(); hash != nil {
		cl.Balancing = ir.BalanceRingHash
		//lint:ignore SA1019 users still write minimumRingSize here
		cl.TableSize = min(max(hash.GetRingHash().GetMinimumRingSize(), hash.GetMinimumRingSize()), model.MaxRingSize)
		if m := hash.GetMaglev(); m != nil {
			cl.Balancing, cl.TableSize = ir.BalanceMaglev, m.GetTableSize()
			if n := cl.TableSize; n != 0 && (n > model.MaxTableSize || !big.NewInt(int64(n)).ProbablyPrime(0)) {
				cl.TableSize = 0
				problems = append(problems, b.object.WarningAt(b.field+".consistentHash.maglev.tableSize", model.ReasonInvalid,
					fmt.Sprintf("%d is not a prime number up to %d; Envoy's default of 65537 is used", n, model.MaxTableSize)))
			}
		}
	}
	cl.SlowStart = slowStart(b.spec, cl.Balancing)
	return problems
}

func slowStart(b *networking.LoadBalancerSettings, p ir.Balancing) *ir.SlowStart {
	if p != ir.BalanceLeastRequest && p != ir.BalanceRoundRobin {
		return nil // Envoy knows it for these two only
	}
	out := &ir.SlowStart{MinPercent: 10}
	window, ok := duration(b.GetWarmupDurationSecs())
	if w := b.GetWarmup(); w != nil {
		window, ok = duration(w.GetDuration())
		if v := w.GetMinimumPercent(); v != nil {
			out.MinPercent = min(max(v.GetValue(), 0), 100)
		}
		out.Aggression = max(w.GetAggression().GetValue(), 0)
	}
	if !ok || window < time.Millisecond || math.IsNaN(out.MinPercent) || math.IsNaN(out.Aggression) {
		return nil
	}
	out.Window = window
	return out
}

// applyOutlier applies outlier detection. A minimum of healthy hosts that is not set turns the
// panic mode off, so that traffic never goes to an ejected host unasked.
func applyOutlier(o *networking.OutlierDetection, cl *ir.Cluster) {
	if o == nil {
		return
	}
	panicAt := percent(o.GetMinHealthPercent())
	cl.PanicThreshold = &panicAt
	out := &ir.OutlierDetection{
		Consecutive5xx: number(o.GetConsecutive_5XxErrors()), ConsecutiveGateway: number(o.GetConsecutiveGatewayErrors()),
		SplitLocalOrigin: o.GetSplitExternalLocalOriginErrors(), MaxEjectionPercent: percent(o.GetMaxEjectionPercent()),
	}
	//lint:ignore SA1019 users still write consecutiveErrors
	if legacy := o.GetConsecutiveErrors(); legacy > 0 && out.ConsecutiveGateway == nil {
		n := uint32(legacy)
		out.ConsecutiveGateway = &n
	}
	if out.SplitLocalOrigin {
		out.ConsecutiveLocalOrigin = number(o.GetConsecutiveLocalOriginFailures())
	}
	if d, ok := duration(o.GetInterval()); ok && d >= time.Millisecond {
		out.Interval = d
	}
	if d, ok := duration(o.GetBaseEjectionTime()); ok && d >= time.Millisecond {
		out.BaseEjection = d
	}
	out.HTTPErrors = distinct(slices.Clone(o.GetOutlierDetectionHttpErrorCodes()))
	cl.Outlier = out
}

// keepalive gives the settings of base with those that k has in their places.
func keepalive(base *ir.TCPKeepalive, k *networking.ConnectionPoolSettings_TCPSettings_TcpKeepalive) *ir.TCPKeepalive {
	if k == nil {
		return base
	}
	var out ir.TCPKeepalive
	if base != nil {
		out = *base
	}
	if n := k.GetProbes(); n > 0 {
		out.Probes = n
	}
	if d, ok := duration(k.GetTime()); ok {
		out.Time = d
	}
	if d, ok := duration(k.GetInterval()); ok {
		out.Interval = d
	}
	return &out
}

// duration gives a duration that is valid and that Envoy takes; ok is false for every other.
func duration(d *durationpb.Duration) (time.Duration, bool) {
	if d == nil {
		return 0, false
	}
	return model.Bound{Max: int64(model.MaxDuration)}.Duration(d)
}

// limit takes a number that is set, which is one above zero.
func limit(to *uint32, v int32) {
	if v > 0 {
		*to = uint32(v)
	}
}

func percent(v int32) uint32 { return uint32(min(max(v, 0), 100)) }

func number(v *wrapperspb.UInt32Value) *uint32 {
	if v == nil {
		return nil
	}
	n := v.GetValue()
	return &n
}
