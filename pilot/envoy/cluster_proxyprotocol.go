package envoy

import (
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	proxyprotocolv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/proxy_protocol/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// proxyProtocol begins each connection of a cluster with the client's address, whatever transport follows.
func proxyProtocol(version ir.ProxyVersion, out *clusterv3.Cluster) {
	if version == ir.ProxyVersionNone {
		return
	}
	config := &core.ProxyProtocolConfig{Version: core.ProxyProtocolConfig_V1}
	if version == ir.ProxyVersion2 {
		config.Version = core.ProxyProtocolConfig_V2
	}
	wrap := func(inner *core.TransportSocket) *core.TransportSocket {
		if inner == nil {
			inner = rawBuffer()
		}
		return &core.TransportSocket{Name: "proxy-protocol", ConfigType: &core.TransportSocket_TypedConfig{
			TypedConfig: Any(&proxyprotocolv3.ProxyProtocolUpstreamTransport{Config: config, TransportSocket: inner}),
		}}
	}
	out.TransportSocket = wrap(out.TransportSocket)
	for _, m := range out.TransportSocketMatches {
		m.TransportSocket = wrap(m.TransportSocket)
	}
}
