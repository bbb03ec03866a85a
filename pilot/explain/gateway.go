package explain

import (
	"fmt"
	"strings"

	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// ArrivesAt gives the port on which a gateway listens for what clients send to a port: where its Service leads, as
// Ports says. Without that, a port on which nothing listens is looked for in the names that a server of a Gateway
// gives to its routes (https.PORT.NAME.GATEWAY.NAMESPACE) and to their virtual hosts (HOST:PORT).
func (c *Config) ArrivesAt(asked uint16) uint16 {
	if to, ok := c.Ports[asked]; ok {
		return to
	}
	for _, l := range c.Listeners {
		if port(l.GetAddress()) == asked {
			return asked
		}
	}
	if c.Ports != nil {
		return asked
	}
	for _, l := range c.Listeners {
		for _, chain := range l.GetFilterChains() {
			for _, f := range chain.GetFilters() {
				m := &hcm.HttpConnectionManager{}
				if f.GetTypedConfig().MessageIs(m) && f.GetTypedConfig().UnmarshalTo(m) == nil && c.servesPort(m, asked) {
					return port(l.GetAddress())
				}
			}
		}
	}
	return asked
}

// servesPort tells whether the routes of a connection manager are of a Gateway's server with a port.
func (c *Config) servesPort(m *hcm.HttpConnectionManager, asked uint16) bool {
	if strings.HasPrefix(m.GetRds().GetRouteConfigName(), fmt.Sprintf("https.%d.", asked)) {
		return true
	}
	for _, vh := range c.routesOf(m).GetVirtualHosts() {
		if strings.HasSuffix(vh.GetName(), fmt.Sprintf(":%d", asked)) {
			return true
		}
	}
	return false
}
