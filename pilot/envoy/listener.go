package envoy

import (
	"net/netip"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	originaldst "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/original_dst/v3"
	proxyprotocol "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/proxy_protocol/v3"
	tlsinspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	rbacnet "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/rbac/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

const filterTCPProxy = "envoy.filters.network.tcp_proxy"

// Listener gives the message for a listener. Nothing of it is shared.
func Listener(l *ir.Listener) *listenerv3.Listener {
	out := ListenerHead(l, Unshared{})
	for _, c := range l.Chains {
		out.FilterChains = append(out.FilterChains, FilterChain(c, l.QUIC, Unshared{}))
	}
	if l.Default != nil {
		out.DefaultFilterChain = FilterChain(l.Default, l.QUIC, Unshared{})
	}
	return out
}

// ListenerHead gives the message for a listener without its filter chains.
func ListenerHead(l *ir.Listener, elements Elements) *listenerv3.Listener {
	out := &listenerv3.Listener{
		Name:             l.Name,
		Address:          listenAddress(l),
		TrafficDirection: core.TrafficDirection_OUTBOUND,
		ListenerFilters:  listenerFilters(l),
		AccessLog:        accessLogs(l.AccessLog, elements),

		PerConnectionBufferLimitBytes: nonzero(l.BufferLimit),
	}
	if l.QUIC {
		overUDP(out)
		return out
	}
	if l.Also != "" {
		out.AdditionalAddresses = []*listenerv3.AdditionalAddress{{Address: socketAddress(l.Also, l.Port)}}
	}
	if l.Direction == ir.DirectionInbound {
		out.TrafficDirection = core.TrafficDirection_INBOUND
	}
	if l.BindToPort { // as in Istio, so that a burst of connections is spread over the worker threads
		out.MaxConnectionsToAcceptPerSocketEvent = wrapperspb.UInt32(1)
	} else {
		out.BindToPort = wrapperspb.Bool(false)
	}
	if l.UseOriginalDst {
		out.UseOriginalDst = wrapperspb.Bool(true)
	}
	if l.InspectTimeout != nil {
		out.ListenerFiltersTimeout = durationpb.New(*l.InspectTimeout)
		out.ContinueOnListenerFiltersTimeout = true
	}
	return out
}

func listenerFilters(l *ir.Listener) []*listenerv3.ListenerFilter {
	var out []*listenerv3.ListenerFilter
	add := func(name string, config proto.Message, disabled *listenerv3.ListenerFilterChainMatchPredicate) {
		out = append(out, &listenerv3.ListenerFilter{
			Name:           name,
			ConfigType:     &listenerv3.ListenerFilter_TypedConfig{TypedConfig: Any(config)},
			FilterDisabled: disabled,
		})
	}
	for _, f := range l.Filters {
		switch f := f.(type) {
		case ir.OriginalDst:
			add("envoy.filters.listener.original_dst", &originaldst.OriginalDst{}, nil)
		case ir.ProxyProtocol:
			add("envoy.filters.listener.proxy_protocol", &proxyprotocol.ProxyProtocol{}, nil)
		case ir.TLSInspector:
			add("envoy.filters.listener.tls_inspector", &tlsinspector.TlsInspector{}, anyPort(f.DisabledPorts))
		case ir.HTTPInspector:
			add("envoy.filters.listener.http_inspector", &httpinspector.HttpInspector{}, anyPort(f.DisabledPorts))
		default:
			panic(unknownFilter(f))
		}
	}
	return out
}

// anyPort holds for connections to one of the ports; nil where there are none.
func anyPort(ports []uint32) *listenerv3.ListenerFilterChainMatchPredicate {
	var rules []*listenerv3.ListenerFilterChainMatchPredicate
	for _, p := range ports {
		rules = append(rules, &listenerv3.ListenerFilterChainMatchPredicate{
			Rule: &listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange{
				DestinationPortRange: &typev3.Int32Range{Start: int32(p), End: int32(p) + 1},
			},
		})
	}
	switch len(rules) {
	case 0:
		return nil
	case 1: // an "or" needs two
		return rules[0]
	}
	return &listenerv3.ListenerFilterChainMatchPredicate{
		Rule: &listenerv3.ListenerFilterChainMatchPredicate_OrMatch{
			OrMatch: &listenerv3.ListenerFilterChainMatchPredicate_MatchSet{Rules: rules},
		},
	}
}

// FilterChain gives the message for a filter chain, of a listener over QUIC or over TCP.
func FilterChain(c *ir.FilterChain, overQUIC bool, elements Elements) *listenerv3.FilterChain {
	out := &listenerv3.FilterChain{Name: c.Name, FilterChainMatch: chainMatch(c.Match), Metadata: configMetadata(c.Config)}
	switch {
	case overQUIC:
		out.TransportSocket = downstreamQUIC(c.TLS)
	case c.TLS != nil:
		out.TransportSocket, out.TransportSocketConnectTimeout = downstreamTLS(c.TLS), durationOf(c.TLS.Handshake)
		if len(ir.FurtherDomains(c.TLS.RootSecret)) > 0 {
			out.Filters = append(out.Filters, networkFilter(filterOneIdentity, oneIdentity()))
		}
	}
	for _, f := range c.Filters {
		switch f := f.(type) {
		case *ir.HTTPConnectionManager:
			out.Filters = append(out.Filters, httpConnectionManager(f, elements))
		case *ir.TCPProxy:
			out.Filters = append(out.Filters, tcpProxy(f, elements))
		case *ir.RBAC:
			out.Filters = append(out.Filters, networkFilter(filterNetworkRBAC, networkRBAC(f)))
		case ir.SNIForward:
			out.Filters = append(out.Filters, networkFilter(filterSNIForward, sniForward(f)))
		case ir.UpstreamGuard:
			out.Filters = append(out.Filters, networkFilter(filterUpstreamGuard, &rbacnet.RBAC{Rules: upstreamGuard(f), StatPrefix: "tcp."}))
		case *ir.ExtAuthz:
			out.Filters = append(out.Filters, networkFilter(filterNetworkExtAuthz, networkExtAuthz(f)))
		default:
			panic(unknownFilter(f))
		}
	}
	return out
}

// chainMatch gives nil where everything matches.
func chainMatch(m ir.ChainMatch) *listenerv3.FilterChainMatch {
	out := &listenerv3.FilterChainMatch{
		PrefixRanges:         cidrs(m.DestinationPrefixes),
		SourcePrefixRanges:   cidrs(m.SourcePrefixes),
		ServerNames:          m.ServerNames,
		TransportProtocol:    m.TransportProtocol,
		ApplicationProtocols: m.ApplicationProtocols,
	}
	if m.DestinationPort != 0 {
		out.DestinationPort = wrapperspb.UInt32(m.DestinationPort)
	}
	if proto.Size(out) == 0 {
		return nil
	}
	return out
}

// cidrs leaves out what is no CIDR; resolve has reported it.
func cidrs(prefixes []string) []*core.CidrRange {
	var out []*core.CidrRange
	for _, p := range prefixes {
		if n, err := netip.ParsePrefix(p); err == nil {
			out = append(out, &core.CidrRange{
				AddressPrefix: n.Addr().String(), PrefixLen: wrapperspb.UInt32(uint32(n.Bits())),
			})
		}
	}
	return out
}

func tcpProxy(t *ir.TCPProxy, elements Elements) *listenerv3.Filter {
	out := &tcpproxy.TcpProxy{StatPrefix: t.StatPrefix, AccessLog: accessLogs(t.AccessLog, elements)}
	if t.Policy.IdleTimeout != nil {
		out.IdleTimeout = durationpb.New(*t.Policy.IdleTimeout)
	}
	if t.LogConnected || t.LogEvery > 0 {
		out.AccessLogOptions = &tcpproxy.TcpProxy_TcpAccessLogOptions{
			FlushAccessLogOnConnected: t.LogConnected, AccessLogFlushInterval: durationOf(t.LogEvery),
		}
	}
	if t.AfterHandshake {
		out.UpstreamConnectMode = tcpproxy.UpstreamConnectMode_ON_DOWNSTREAM_TLS_HANDSHAKE
		out.MaxEarlyDataBytes = wrapperspb.UInt32(0)
	}
	out.MaxDownstreamConnectionDuration = durationOf(t.Policy.MaxConnectionDuration)
	if tunnel := t.Policy.Tunnel; tunnel != nil {
		out.TunnelingConfig = &tcpproxy.TcpProxy_TunnelingConfig{Hostname: strings.ReplaceAll(tunnel.Target, "%", "%%"), UsePost: tunnel.POST}
	}
	if t.Policy.HashSourceIP {
		out.HashPolicy = []*typev3.HashPolicy{{PolicySpecifier: &typev3.HashPolicy_SourceIp_{SourceIp: &typev3.HashPolicy_SourceIp{}}}}
	}
	if len(t.Clusters) == 1 {
		out.ClusterSpecifier = &tcpproxy.TcpProxy_Cluster{Cluster: t.Clusters[0].Name}
		return networkFilter(filterTCPProxy, out)
	}
	weighted := &tcpproxy.TcpProxy_WeightedCluster{}
	for _, c := range t.Clusters {
		weighted.Clusters = append(weighted.Clusters, &tcpproxy.TcpProxy_WeightedCluster_ClusterWeight{
			Name: c.Name, Weight: c.Weight,
		})
	}
	out.ClusterSpecifier = &tcpproxy.TcpProxy_WeightedClusters{WeightedClusters: weighted}
	return networkFilter(filterTCPProxy, out)
}

func networkFilter(name string, config proto.Message) *listenerv3.Filter {
	return &listenerv3.Filter{Name: name, ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: Any(config)}}
}

// listenAddress gives the address that a listener binds to.
func listenAddress(l *ir.Listener) *core.Address {
	if path, ok := strings.CutPrefix(l.Address, "unix://"); ok {
		return &core.Address{Address: &core.Address_Pipe{Pipe: &core.Pipe{Path: path}}}
	}
	return socketAddress(l.Address, l.Port)
}

func socketAddress(ip string, port uint32) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: ip, PortSpecifier: &core.SocketAddress_PortValue{PortValue: port},
	}}}
}
