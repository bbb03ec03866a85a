package explain

import (
	"net/netip"
	"strings"

	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
)

// UnknownAddress is where a host is taken to be that has no listener of its own (RFC 5737, TEST-NET-3). The
// address of services that speak HTTP does not matter to a proxy.
const UnknownAddress = "203.0.113.1"

// Address gives the address of a host, as a pod of a namespace names it: that of the listener which leads to
// its clusters, else UnknownAddress.
func (c *Config) Address(host, namespace string, port uint16) netip.Addr {
	if ip, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return ip
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	for _, l := range c.Listeners {
		for _, a := range addresses(l) {
			ip, err := netip.ParseAddr(a.GetSocketAddress().GetAddress())
			if err != nil || ip.IsUnspecified() || uint16(a.GetSocketAddress().GetPortValue()) != port {
				continue
			}
			for _, chain := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
				for _, f := range chain.GetFilters() {
					m := &tcpproxy.TcpProxy{}
					if f.GetTypedConfig().MessageIs(m) && f.GetTypedConfig().UnmarshalTo(m) == nil && namesHost(m.GetCluster(), host, namespace) {
						return ip
					}
				}
			}
		}
	}
	return netip.MustParseAddr(UnknownAddress)
}

// namesHost tells whether a cluster is of a host under one of the names that a pod of a namespace may use.
func namesHost(cluster, host, namespace string) bool {
	name := cluster[strings.LastIndexByte(cluster, '|')+1:]
	return name == host || strings.HasPrefix(name, host+".svc.") || strings.HasPrefix(name, host+"."+namespace+".svc.") ||
		strings.HasSuffix(host, ".svc") && strings.HasPrefix(name, host+".")
}
