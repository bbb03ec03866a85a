package explain

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
)

// ArrivesAt gives the port on which a gateway listens for what clients send to a port: where its Service leads, as
// Ports says, or UDPPorts. Without that, a port on which nothing listens is looked for in the names that a server of a Gateway
// gives to its routes (https.PORT.NAME.GATEWAY.NAMESPACE) and to their virtual hosts (HOST:PORT).
func (c *Config) ArrivesAt(asked uint16, udp bool) uint16 {
	if to, ok := c.UDPPorts[asked]; ok && udp {
		return to
	}
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

// askedFor gives the port that clients ask for to arrive at one of a gateway: of those of its Service that lead there the
// lowest, else the port itself.
func (c *Config) askedFor(arrives uint16) uint16 {
	out := arrives
	for asked, to := range c.Ports {
		if to == arrives && (c.Ports[out] != arrives || asked < out) {
			out = asked
		}
	}
	return out
}

// shutOut ends what is sent to a gateway's Services on a port that none of them has.
func (w *walk) shutOut() bool {
	r := &w.request
	asked := cmp.Or(r.Port, r.Destination.Port())
	_, leads := w.Ports[asked]
	if _, byUDP := w.UDPPorts[asked]; byUDP && r.Protocol == HTTP3 {
		leads = true
	}
	if !w.Gateway || r.Way != Direct || r.OfPod || len(w.Ports) == 0 || leads {
		return false
	}
	has := &Host{Ports: slices.Collect(maps.Keys(w.Ports))}
	w.closed("", fmt.Sprintf("no Service of the gateway has port %d (there is %s): the connection is refused or waits in vain", asked, has.ports()))
	w.step(StageListener, "", w.answer.Outcome.Reason, nil, w.nearListeners()...)
	return true
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

// LeadsTo gives the port of the workload that a port stands for with what comes to it: the workload's own of that
// number, else where that of its Service leads.
func (c *Config) LeadsTo(asked uint16) uint16 {
	if to, ok := c.Ports[asked]; ok && !slices.Contains(c.ownPorts(), asked) {
		return to
	}
	return asked
}

// ownPorts are those of the workload of which the proxy knows, in order.
func (c *Config) ownPorts() []uint16 {
	out := slices.Collect(maps.Values(c.Ports))
	for _, l := range c.Listeners {
		if l.GetName() != virtualInbound {
			continue
		}
		for _, chain := range l.GetFilterChains() {
			if p := chain.GetFilterChainMatch().GetDestinationPort(); p != nil && p.GetValue() != uint32(port(l.GetAddress())) {
				out = append(out, uint16(p.GetValue()))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// insideHints says of a port of the workload how it stands to those of its Service.
func (w *walk) insideHints() []string {
	own, at := w.ownPorts(), w.request.Destination.Port()
	switch to, ok := w.Ports[at]; {
	case w.request.Way != Inbound:
		return nil
	case ok && to != at && w.request.Port == 0:
		return []string{fmt.Sprintf("this is the workload's own port %d; port %d of its Service leads to %d", at, at, to)}
	case len(own) > 0 && !slices.Contains(own, at):
		return []string{fmt.Sprintf("no Service leads to port %d of the workload, but to %s", at, (&Host{Ports: own}).ports())}
	}
	return nil
}
