package envoy

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	quic "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/quic/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// overUDP makes a listener one of UDP, whose filter chains take QUIC.
func overUDP(out *listenerv3.Listener) {
	out.Address.GetSocketAddress().Protocol = core.SocketAddress_UDP
	out.UdpListenerConfig = &listenerv3.UdpListenerConfig{
		QuicOptions:            &listenerv3.QuicProtocolOptions{},
		DownstreamSocketConfig: &core.UdpSocketConfig{PreferGro: wrapperspb.Bool(true)},
	}
}

func downstreamQUIC(t *ir.DownstreamTLS) *core.TransportSocket {
	return &core.TransportSocket{
		Name: "envoy.transport_sockets.quic", ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: Any(&quic.QuicDownstreamTransport{
			DownstreamTlsContext: downstreamContext(t),
			// A request that comes before the handshake has ended can be sent by others again.
			EnableEarlyData: wrapperspb.Bool(false),
		})},
	}
}

// The largest windows of QUIC that Envoy takes (QuicProtocolOptions in protocol.proto).
const (
	maxQUICStreamWindow     = 16 << 20
	maxQUICConnectionWindow = 24 << 20
)

// http3 gives the limits of connections, those of HTTP/2 in the words of QUIC.
func http3(l *ir.HTTPLimits) *core.Http3ProtocolOptions {
	return &core.Http3ProtocolOptions{QuicProtocolOptions: &core.QuicProtocolOptions{
		MaxConcurrentStreams:        nonzero(l.MaxStreams),
		InitialStreamWindowSize:     nonzero(min(l.StreamWindow, maxQUICStreamWindow)),
		InitialConnectionWindowSize: nonzero(min(l.ConnectionWindow, maxQUICConnectionWindow)),
	}}
}
