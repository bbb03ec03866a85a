package analyze

import (
	"fmt"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// HTTPSOnlyBy gives the server of a Gateway that has requests in the clear redirected which come for domains to a port of
// a gateway, with the field that says so: of several, the one that names the domain most closely. A zero key stands for
// none.
func (t *Translation) HTTPSOnlyBy(p Proxy, port uint16, domains []string) (by model.Key, field string) {
	class := resolve.Classify(t.mesh.reader, p.of)
	closest := 0
	for _, key := range class.Gateways {
		o := t.mesh.known(key)
		if o == nil {
			continue
		}
		for i, s := range o.Spec.(*networking.Gateway).GetServers() {
			number := uint16(s.GetPort().GetNumber())
			if !s.GetTls().GetHttpsRedirect() || number != port && p.Ports[number] != port {
				continue
			}
			if c := closeness(s.GetHosts(), domains); c > closest {
				closest, by, field = c, key, fmt.Sprintf("spec.servers[%d].tls.httpsRedirect", i)
			}
		}
	}
	return by, field
}

// closeness tells how much of a domain the hosts of a server say, 0 for hosts that have none of the domains.
func closeness(hosts, domains []string) int {
	best := 0
	for _, host := range hosts {
		if _, name, qualified := strings.Cut(host, "/"); qualified {
			host = name
		}
		for _, d := range domains {
			if host == d || model.HostCovers(host, d) {
				best = max(best, len(host))
			}
		}
	}
	return best
}
