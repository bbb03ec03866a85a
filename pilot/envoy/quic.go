package envoy

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	quic "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/quic/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// overQUIC makes a listener one of UDP whose filter chains take QUIC.
func overQUIC(l *ir.Listener, out *listenerv3.Listener) {
	out.Address.GetSocketAddress().Protocol = core.SocketAddress_UDP
	out.UdpListenerConfig = &listenerv3.UdpListenerConfig{
		QuicOptions:            &listenerv3.QuicProtocolOptions{},
		DownstreamSocketConfig: &core.UdpSocketConfig{PreferGro: wrapperspb.Bool(true)},
	}
	for _, c := range l.Chains {
		plain := *c
		plain.TLS = nil
		chain := filterChain(&plain)
		chain.TransportSocket = &core.TransportSocket{
			Name: "envoy.transport_sockets.quic", ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: Any(&quic.QuicDownstreamTransport{
				DownstreamTlsContext: downstreamContext(c.TLS),
				// A request that comes before the handshake has ended can be sent by others again.
				EnableEarlyData: wrapperspb.Bool(false),
			})},
		}
		out.FilterChains = append(out.FilterChains, chain)
	}
}

// http3 gives the limits of connections, those of HTTP/2 in the words of QUIC.
func http3(l *ir.HTTPLimits) *core.Http3ProtocolOptions {
	if l == nil {
		return &core.Http3ProtocolOptions{}
	}
	return &core.Http3ProtocolOptions{QuicProtocolOptions: &core.QuicProtocolOptions{
		MaxConcurrentStreams:        wrapperspb.UInt32(l.MaxStreams),
		InitialStreamWindowSize:     wrapperspb.UInt32(l.StreamWindow),
		InitialConnectionWindowSize: wrapperspb.UInt32(l.ConnectionWindow),
	}}
}
