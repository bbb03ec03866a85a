package explain

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	quicv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/quic/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// HTTP/3 comes to listeners of UDP, beside those of TCP at the same port.

// ofUDP tells whether an address is one of UDP.
func ofUDP(a *core.Address) bool { return a.GetSocketAddress().GetProtocol() == core.SocketAddress_UDP }

// datagrams begins the name of a port of UDP; "" where the request comes over TCP.
func (w *walk) datagrams() string {
	if w.request.Protocol == HTTP3 {
		return "UDP "
	}
	return ""
}

// quicHints says when a gateway speaks HTTP/3, to who asked for it in vain.
func (w *walk) quicHints() []string {
	if w.request.Protocol != HTTP3 {
		return nil
	}
	return []string{"a server of HTTPS speaks HTTP/3 where the control plane has PILOT_ENABLE_QUIC_LISTENERS, the server's tls.mode is SIMPLE and takes TLS 1.3, and the Service in front of the gateway has the port for UDP"}
}

// serverTLS gives how a filter chain ends TLS, over TCP or QUIC, and whether it does.
func serverTLS(c *listenerv3.FilterChain) (ctx *tlsv3.DownstreamTlsContext, ends bool, err error) {
	ctx, quic := &tlsv3.DownstreamTlsContext{}, &quicv3.QuicDownstreamTransport{}
	switch socket := c.GetTransportSocket().GetTypedConfig(); {
	case socket.MessageIs(ctx):
		return ctx, true, socket.UnmarshalTo(ctx)
	case socket.MessageIs(quic):
		err := socket.UnmarshalTo(quic)
		return quic.GetDownstreamTlsContext(), true, err
	}
	return ctx, false, nil
}
