package explain

import (
	"strconv"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
)

// outboundHost reads the name of a cluster, outbound|PORT|SUBSET|HOST.
func outboundHost(cluster string) (host string, port uint16, ok bool) {
	parts := strings.Split(cluster, "|")
	if len(parts) != 4 || parts[0] != "outbound" {
		return "", 0, false
	}
	n, err := strconv.ParseUint(parts[1], 10, 16)
	return parts[3], uint16(n), err == nil
}

// straightTo gives the host to whose own cluster a listener leads where no object asks for another; "" for none.
func straightTo(l *listenerv3.Listener) string {
	for _, chain := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
		for _, f := range chain.GetFilters() {
			m := &tcpproxy.TcpProxy{}
			if source(chain.GetMetadata()) != "" || !f.GetTypedConfig().MessageIs(m) || f.GetTypedConfig().UnmarshalTo(m) != nil {
				continue
			}
			if host, _, ok := outboundHost(m.GetCluster()); ok {
				return host
			}
		}
	}
	return ""
}

// namesHost tells whether a name is one of those that a client of a namespace may use for a host.
func namesHost(full, name, namespace string) bool {
	if suffix, wild := strings.CutPrefix(full, "*"); wild {
		return strings.HasSuffix(name, suffix)
	}
	return full == name || strings.HasPrefix(full, name+".svc.") || strings.HasPrefix(full, name+"."+namespace+".svc.") ||
		strings.HasSuffix(name, ".svc") && strings.HasPrefix(full, name+".")
}
