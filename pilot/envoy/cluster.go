package envoy

import (
	"math"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

const (
	// istioMetadata is the namespace of metadata that Istio's tools read.
	istioMetadata = "istio"
	// tlsModeKey is the key by which a host's metadata chooses its transport socket, and
	// tlsModeDisabled what hosts have there that are to get plaintext. The others have nothing:
	// almost all hosts of a mesh speak TLS, and what each of them says a hundred thousand times
	// costs more than the rest of it.
	tlsModeKey      = "tlsMode"
	tlsModeDisabled = "disabled"
	// defaultMinRingSize is Istio's; Envoy's own is the same.
	defaultMinRingSize = 1024
)

// Cluster gives the message of a cluster.
func Cluster(c *ir.Cluster) *clusterv3.Cluster {
	out := &clusterv3.Cluster{
		Name:                      c.Name,
		AltStatName:               c.AltStatName,
		ConnectTimeout:            durationpb.New(c.ConnectTimeout),
		CircuitBreakers:           breakers(c.Breakers),
		OutlierDetection:          outlierDetection(c.Outlier),
		Metadata:                  clusterMetadata(c.Metadata),
		UpstreamConnectionOptions: upstreamConnection(c.Keepalive),
		UpstreamBindConfig:        bindConfig(c.BindSources),

		PerConnectionBufferLimitBytes: nonzero(c.BufferLimit),
	}
	if c.CleanupInterval > 0 {
		out.CleanupInterval = durationpb.New(c.CleanupInterval)
	}
	discovery(c, out)
	balancing(c, out)
	transport(c, out)
	proxyProtocol(c.ProxyProtocol, out)
	httpUpstream(c, out)
	return out
}

func discovery(c *ir.Cluster, out *clusterv3.Cluster) {
	kind := clusterv3.Cluster_STATIC
	switch c.Discovery {
	case ir.DiscoveryEDS:
		kind = clusterv3.Cluster_EDS
		out.EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{
			EdsConfig: &core.ConfigSource{
				ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
			},
		}
	case ir.DiscoveryOriginalDst:
		kind = clusterv3.Cluster_ORIGINAL_DST
		if c.PortOverride != 0 {
			out.LbConfig = &clusterv3.Cluster_OriginalDstLbConfig_{OriginalDstLbConfig: &clusterv3.Cluster_OriginalDstLbConfig{
				UpstreamPortOverride: wrapperspb.UInt32(c.PortOverride),
			}}
		}
	case ir.DiscoveryStrictDNS:
		kind = clusterv3.Cluster_STRICT_DNS
	case ir.DiscoveryLogicalDNS:
		kind = clusterv3.Cluster_LOGICAL_DNS
	}
	if c.Discovery.IsDNS() {
		dnsLookup(c.DNS, out)
		out.LoadAssignment = LoadAssignment(c.Hosts)
	}
	out.ClusterDiscoveryType = &clusterv3.Cluster_Type{Type: kind}
	if c.Discovery == ir.DiscoveryDynamic {
		out.ClusterDiscoveryType = dynamicCluster(c)
	}
	backend(c, out)
}

// dnsJitter keeps proxies from asking for a name all at once. It is Istio's.
const dnsJitter = 100 * time.Millisecond

// dnsLookup keeps an answer as long as it says. It writes the fields that Istio writes and that its tools
// read; Envoy knows a newer form of them as well.
func dnsLookup(d ir.DNSLookup, out *clusterv3.Cluster) {
	out.DnsLookupFamily = lookupFamily(d)
	//lint:ignore SA1019 the form that Istio's tools read
	out.RespectDnsTtl = true
	//lint:ignore SA1019 the form that Istio's tools read
	out.DnsJitter = durationpb.New(dnsJitter)
	//lint:ignore SA1019 the form that Istio's tools read
	out.DnsRefreshRate = durationOf(d.Refresh)
}

func lookupFamily(d ir.DNSLookup) clusterv3.Cluster_DnsLookupFamily {
	switch {
	case d.IPv4 == d.IPv6:
		return clusterv3.Cluster_ALL
	case d.IPv4:
		return clusterv3.Cluster_V4_ONLY
	}
	return clusterv3.Cluster_V6_ONLY
}

func balancing(c *ir.Cluster, out *clusterv3.Cluster) {
	switch c.Balancing {
	case ir.BalanceLeastRequest:
		out.LbPolicy = clusterv3.Cluster_LEAST_REQUEST
		if s := slowStart(c.SlowStart); s != nil {
			out.LbConfig = &clusterv3.Cluster_LeastRequestLbConfig_{LeastRequestLbConfig: &clusterv3.Cluster_LeastRequestLbConfig{SlowStartConfig: s}}
		}
	case ir.BalanceRoundRobin:
		out.LbPolicy = clusterv3.Cluster_ROUND_ROBIN
		if s := slowStart(c.SlowStart); s != nil {
			out.LbConfig = &clusterv3.Cluster_RoundRobinLbConfig_{RoundRobinLbConfig: &clusterv3.Cluster_RoundRobinLbConfig{SlowStartConfig: s}}
		}
	case ir.BalanceRandom:
		out.LbPolicy = clusterv3.Cluster_RANDOM
	case ir.BalanceRingHash:
		out.LbPolicy = clusterv3.Cluster_RING_HASH
		size := c.TableSize
		if size == 0 {
			size = defaultMinRingSize
		}
		out.LbConfig = &clusterv3.Cluster_RingHashLbConfig_{RingHashLbConfig: &clusterv3.Cluster_RingHashLbConfig{MinimumRingSize: wrapperspb.UInt64(size)}}
	case ir.BalanceMaglev:
		out.LbPolicy = clusterv3.Cluster_MAGLEV
		if c.TableSize > 0 {
			out.LbConfig = &clusterv3.Cluster_MaglevLbConfig_{MaglevLbConfig: &clusterv3.Cluster_MaglevLbConfig{TableSize: wrapperspb.UInt64(c.TableSize)}}
		}
	case ir.BalanceByCluster:
		out.LbPolicy = clusterv3.Cluster_CLUSTER_PROVIDED
	}
	if c.PanicThreshold == nil && !c.LocalityWeighted && c.Zones == nil {
		return
	}
	out.CommonLbConfig = &clusterv3.Cluster_CommonLbConfig{}
	if c.PanicThreshold != nil {
		out.CommonLbConfig.HealthyPanicThreshold = &typev3.Percent{Value: float64(*c.PanicThreshold)}
	}
	switch {
	case c.LocalityWeighted:
		out.CommonLbConfig.LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig_{
			LocalityWeightedLbConfig: &clusterv3.Cluster_CommonLbConfig_LocalityWeightedLbConfig{},
		}
	case c.Zones != nil:
		out.CommonLbConfig.LocalityConfigSpecifier = &clusterv3.Cluster_CommonLbConfig_ZoneAwareLbConfig_{ZoneAwareLbConfig: zoneRouting(c.Zones)}
	}
}

func zoneRouting(z *ir.ZoneRouting) *clusterv3.Cluster_CommonLbConfig_ZoneAwareLbConfig {
	out := &clusterv3.Cluster_CommonLbConfig_ZoneAwareLbConfig{}
	if z.Off {
		out.RoutingEnabled = &typev3.Percent{}
	}
	if z.MinHosts > 0 {
		out.MinClusterSize = wrapperspb.UInt64(uint64(z.MinHosts))
	}
	return out
}

func slowStart(s *ir.SlowStart) *clusterv3.Cluster_SlowStartConfig {
	if s == nil {
		return nil
	}
	out := &clusterv3.Cluster_SlowStartConfig{
		SlowStartWindow:  durationpb.New(s.Window),
		MinWeightPercent: &typev3.Percent{Value: s.MinPercent},
	}
	if s.Aggression > 0 {
		out.Aggression = &core.RuntimeDouble{DefaultValue: s.Aggression, RuntimeKey: "pilothouse.slow_start_aggression"}
	}
	return out
}

// transport sets how connections are secured. With AutoTLS a host's metadata may ask for plaintext;
// a host that says nothing gets TLS, so that a mark which is lost opens no connection that anyone
// can read.
func transport(c *ir.Cluster, out *clusterv3.Cluster) {
	if c.TLS == nil {
		return
	}
	out.TransportSocket = upstreamTLS(c.TLS)
	if c.AutoTLS {
		out.TransportSocketMatches = []*clusterv3.Cluster_TransportSocketMatch{{
			Name: transportRaw, Match: plaintextMark(), TransportSocket: rawBuffer(),
		}}
	}
}

func plaintextMark() *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{tlsModeKey: structpb.NewStringValue(tlsModeDisabled)}}
}

func breakers(b ir.Breakers) *clusterv3.CircuitBreakers {
	return &clusterv3.CircuitBreakers{Thresholds: []*clusterv3.CircuitBreakers_Thresholds{{
		MaxConnections:     wrapperspb.UInt32(b.MaxConnections),
		MaxPendingRequests: wrapperspb.UInt32(b.MaxPendingRequests),
		MaxRequests:        wrapperspb.UInt32(b.MaxRequests),
		MaxRetries:         wrapperspb.UInt32(b.MaxRetries),
		RetryBudget:        retryBudget(b.RetryBudget),
		TrackRemaining:     true,
	}}}
}

func retryBudget(b *ir.RetryBudget) *clusterv3.CircuitBreakers_Thresholds_RetryBudget {
	if b == nil {
		return nil
	}
	return &clusterv3.CircuitBreakers_Thresholds_RetryBudget{
		BudgetPercent:       &typev3.Percent{Value: b.Percent},
		MinRetryConcurrency: wrapperspb.UInt32(b.Least),
		BudgetInterval:      durationOf(b.Interval),
	}
}

// outlierDetection never judges by the success rate, which Istio does not offer.
func outlierDetection(o *ir.OutlierDetection) *clusterv3.OutlierDetection {
	if o == nil {
		return nil
	}
	out := &clusterv3.OutlierDetection{EnforcingSuccessRate: wrapperspb.UInt32(0)}
	out.Consecutive_5Xx, out.EnforcingConsecutive_5Xx = ejectAfter(o.Consecutive5xx)
	out.ConsecutiveGatewayFailure, out.EnforcingConsecutiveGatewayFailure = ejectAfter(o.ConsecutiveGateway)
	if o.SplitLocalOrigin {
		out.SplitExternalLocalOriginErrors = true
		out.EnforcingLocalOriginSuccessRate = wrapperspb.UInt32(0)
		out.ConsecutiveLocalOriginFailure, out.EnforcingConsecutiveLocalOriginFailure = ejectAfter(o.ConsecutiveLocalOrigin)
	}
	out.Interval = positive(o.Interval)
	out.BaseEjectionTime = positive(o.BaseEjection)
	if o.MaxEjectionPercent > 0 {
		out.MaxEjectionPercent = wrapperspb.UInt32(o.MaxEjectionPercent)
	}
	return out
}

// ejectAfter gives a number of failures and how strictly it is enforced, in percent.
func ejectAfter(n *uint32) (failures, enforced *wrapperspb.UInt32Value) {
	switch {
	case n == nil:
		return nil, nil
	case *n == 0:
		return wrapperspb.UInt32(0), wrapperspb.UInt32(0)
	}
	return wrapperspb.UInt32(*n), wrapperspb.UInt32(100)
}

func upstreamConnection(k *ir.TCPKeepalive) *clusterv3.UpstreamConnectionOptions {
	if k == nil {
		return nil
	}
	out := &core.TcpKeepalive{}
	if k.Probes > 0 {
		out.KeepaliveProbes = wrapperspb.UInt32(k.Probes)
	}
	if s := seconds(k.Time); s > 0 {
		out.KeepaliveTime = wrapperspb.UInt32(s)
	}
	if s := seconds(k.Interval); s > 0 {
		out.KeepaliveInterval = wrapperspb.UInt32(s)
	}
	return &clusterv3.UpstreamConnectionOptions{TcpKeepalive: out}
}

func seconds(d time.Duration) uint32 { return uint32(min(d/time.Second, math.MaxUint32)) }

func positive(d time.Duration) *durationpb.Duration {
	if d <= 0 {
		return nil
	}
	return durationpb.New(d)
}

// bindConfig connects from the first source, or from the second to hosts of the other IP family.
func bindConfig(sources []string) *core.BindConfig {
	if len(sources) == 0 {
		return nil
	}
	out := &core.BindConfig{SourceAddress: sourceAddress(sources[0])}
	for _, s := range sources[1:] {
		out.ExtraSourceAddresses = append(out.ExtraSourceAddresses, &core.ExtraSourceAddress{Address: sourceAddress(s)})
	}
	return out
}

func sourceAddress(ip string) *core.SocketAddress {
	return &core.SocketAddress{Address: ip, PortSpecifier: &core.SocketAddress_PortValue{PortValue: 0}}
}

func clusterMetadata(m ir.ClusterMetadata) *core.Metadata {
	fields := map[string]*structpb.Value{}
	for key, value := range map[string]string{"config": m.Config, "subset": m.Subset, "alpn": m.ALPN} {
		if value != "" {
			fields[key] = structpb.NewStringValue(value)
		}
	}
	if len(m.Services) > 0 {
		list := &structpb.ListValue{}
		for _, s := range m.Services {
			list.Values = append(list.Values, structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
				"host":      structpb.NewStringValue(s.Host),
				"name":      structpb.NewStringValue(s.Name),
				"namespace": structpb.NewStringValue(s.Namespace),
			}}))
		}
		fields["services"] = structpb.NewListValue(list)
	}
	if len(fields) == 0 {
		return nil
	}
	return &core.Metadata{FilterMetadata: map[string]*structpb.Struct{istioMetadata: {Fields: fields}}}
}
