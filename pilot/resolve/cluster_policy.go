package resolve

import (
	"cmp"
	"math"
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
	cl.ConnectTimeout = cmp.Or(mesh.GetConnectTimeout().AsDuration(), defaultConnectTimeout)
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
func pooledVersion(mesh *meshconfig.MeshConfig, t model.ProxyType, http *networking.ConnectionPoolSettings_HTTPSettings, p model.Protocol) ir.Upstream {
	upgrade := http.GetH2UpgradePolicy()
	switch {
	case http.GetUseClientProtocol():
		return ir.UpstreamDownstream
	case upgrade == networking.ConnectionPoolSettings_HTTPSettings_UPGRADE,
		upgrade == networking.ConnectionPoolSettings_HTTPSettings_DEFAULT && p.IsHTTP() && mesh.GetH2UpgradePolicy() == meshconfig.MeshConfig_UPGRADE:
		return ir.UpstreamHTTP2
	case t == model.RouterProxy && p == model.ProtocolAuto: // its clients may speak HTTP/2 where servers do not
		return ir.UpstreamHTTP1
	}
	return upstreamVersion(p)
}

// applyPool applies connection pool settings over the basics.
func applyPool(pool *networking.ConnectionPoolSettings, cl *ir.Cluster) {
	tcp, http := pool.GetTcp(), pool.GetHttp()
	cl.ConnectTimeout = cmp.Or(tcp.GetConnectTimeout().AsDuration(), cl.ConnectTimeout)
	cl.Keepalive = keepalive(cl.Keepalive, tcp.GetTcpKeepalive())
	cl.HTTP.MaxConnectionDuration = tcp.GetMaxConnectionDuration().AsDuration()
	limit(&cl.Breakers.MaxConnections, tcp.GetMaxConnections())
	limit(&cl.Breakers.MaxPendingRequests, http.GetHttp1MaxPendingRequests())
	limit(&cl.Breakers.MaxRequests, http.GetHttp2MaxRequests())
	limit(&cl.Breakers.MaxRetries, http.GetMaxRetries())
	limit(&cl.HTTP.MaxRequestsPerConnection, http.GetMaxRequestsPerConnection())
	limit(&cl.HTTP.MaxConcurrentStreams, http.GetMaxConcurrentStreams())
	// As in Istio, connections of HTTP are idle for as long as those of TCP where nothing else is said.
	cl.HTTP.IdleTimeout = cmp.Or(optional(http.GetIdleTimeout()), optional(tcp.GetIdleTimeout()), cl.HTTP.IdleTimeout)
	k := http.GetHttp2KeepAlive()
	cl.HTTP.KeepaliveInterval, cl.HTTP.KeepaliveTimeout = k.GetInterval().AsDuration(), k.GetTimeout().AsDuration()
}

// applyBalance applies load balancer settings to an EDS cluster.
func applyBalance(b *networking.LoadBalancerSettings, cl *ir.Cluster) {
	switch b.GetSimple() {
	case networking.LoadBalancerSettings_ROUND_ROBIN:
		cl.Balancing = ir.BalanceRoundRobin
	case networking.LoadBalancerSettings_RANDOM:
		cl.Balancing = ir.BalanceRandom
	case networking.LoadBalancerSettings_PASSTHROUGH:
		originalDestination(cl)
		return
	}
	if hash := b.GetConsistentHash(); hash != nil {
		cl.Balancing = ir.BalanceRingHash
		//lint:ignore SA1019 users still write minimumRingSize here
		cl.TableSize = max(hash.GetRingHash().GetMinimumRingSize(), hash.GetMinimumRingSize())
		if m := hash.GetMaglev(); m != nil {
			cl.Balancing, cl.TableSize = ir.BalanceMaglev, m.GetTableSize()
		}
	}
	cl.SlowStart = slowStart(b, cl.Balancing)
}

func slowStart(b *networking.LoadBalancerSettings, p ir.Balancing) *ir.SlowStart {
	w := b.GetWarmup()
	window := cmp.Or(w.GetDuration(), b.GetWarmupDurationSecs())
	if window == nil || p != ir.BalanceLeastRequest && p != ir.BalanceRoundRobin { // Envoy knows it for these two only
		return nil
	}
	out := &ir.SlowStart{Window: window.AsDuration(), MinPercent: 10, Aggression: w.GetAggression().GetValue()}
	if v := w.GetMinimumPercent(); v != nil {
		out.MinPercent = v.GetValue()
	}
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
		Interval: o.GetInterval().AsDuration(), BaseEjection: o.GetBaseEjectionTime().AsDuration(),
	}
	//lint:ignore SA1019 users still write consecutiveErrors
	if legacy := o.GetConsecutiveErrors(); legacy > 0 && out.ConsecutiveGateway == nil {
		n := uint32(legacy)
		out.ConsecutiveGateway = &n
	}
	if n := o.GetConsecutiveLocalOriginFailures(); out.SplitLocalOrigin && n.GetValue() > 0 { // 0 is the default, not none as of the others
		out.ConsecutiveLocalOrigin = number(n)
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
	out.Probes = cmp.Or(k.GetProbes(), out.Probes)
	out.Time = cmp.Or(k.GetTime().AsDuration(), out.Time)
	out.Interval = cmp.Or(k.GetInterval().AsDuration(), out.Interval)
	return &out
}

// optional gives a duration, nil where none is set.
func optional(d *durationpb.Duration) *time.Duration {
	return given(d, (*durationpb.Duration).AsDuration)
}

// given gives the value of a field that may be left out, nil where it is.
func given[M, V any](field *M, value func(*M) V) *V {
	if field == nil {
		return nil
	}
	v := value(field)
	return &v
}

// limit takes a number that is set, which is one above zero.
func limit(to *uint32, v int32) {
	if v > 0 {
		*to = uint32(v)
	}
}

func percent(v int32) uint32 { return uint32(min(max(v, 0), 100)) }

func number(v *wrapperspb.UInt32Value) *uint32 { return given(v, (*wrapperspb.UInt32Value).GetValue) }
