package ir

// DynamicTarget notes for DynamicForward which host a request names, and the port that its route has for
// hosts of a cluster of DiscoveryDynamic (WeightedCluster.DynamicPort).
type DynamicTarget struct{}

// DynamicForward resolves that host, where the route leads to a cluster of DiscoveryDynamic. Other requests
// pass.
type DynamicForward struct{ DNS DNSLookup }

// SNIForward resolves the host that a TLS handshake names, for the cluster of DiscoveryDynamic that a TCPProxy
// after it forwards to.
type SNIForward struct {
	Port uint32 // of the host
	DNS  DNSLookup
}

// UpstreamGuard refuses what DynamicForward or SNIForward would send to the proxy's own addresses or Ports:
// the client chooses the host, and whoever answers for its name in DNS the address.
type UpstreamGuard struct{ Ports []PortRange }

// PortRange is from First to Last, both among it.
type PortRange struct{ First, Last uint32 }

func (DynamicTarget) httpFilter()  {}
func (DynamicForward) httpFilter() {}
func (UpstreamGuard) httpFilter()  {}

func (SNIForward) networkFilter()    {}
func (UpstreamGuard) networkFilter() {}
