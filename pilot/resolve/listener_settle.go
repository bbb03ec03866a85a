package resolve

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// settle decides which of the services that are no HTTP services have a listener where nothing in a connection
// tells which of them is meant: the first by model.CompareServices, so that a new one takes nothing from another.
func (p *planner) settle(o *outbound) {
	p.separate(o)
	if len(o.tcp) > 1 {
		all := o.tcp
		slices.SortStableFunc(all, func(a, b tcpPort) int { return model.CompareServices(a.service, b.service) })
		o.tcp = nil
		for _, sp := range all {
			if sp, ok := p.place(o, sp); ok {
				o.tcp = append(o.tcp, sp)
			}
		}
		slices.SortStableFunc(o.tcp, func(a, b tcpPort) int { return strings.Compare(a.service.Hostname, b.service.Hostname) })
	}
	for _, sp := range o.tcp {
		if sp.port.Protocol != model.ProtocolAuto || o.routes != "" {
			continue
		}
		o.routes, o.sniff = sp.service.Hostname+":"+portName(o.port), true
		if o.address == wildcard(p.c) {
			o.routes, o.sniff = portName(o.port), false
		}
	}
}

// separate leaves a listener to services of one protocol where a server may speak first: looking for HTTP, or for a
// name in a handshake, would wait for a client that waits for the server. The first by model.CompareServices says which.
func (p *planner) separate(o *outbound) {
	if !slices.ContainsFunc(o.tcp, func(sp tcpPort) bool { return speaksFirst(sp.port.Protocol) }) {
		return
	}
	first := o.web
	for _, sp := range o.tcp {
		if first.service == nil || model.CompareServices(sp.service, first.service) < 0 {
			first = sp.servicePort
		}
	}
	left := func(sp servicePort) bool {
		if sp.port.Protocol == first.port.Protocol || !speaksFirst(sp.port.Protocol) && !speaksFirst(first.port.Protocol) {
			return false
		}
		p.problem(sp, fmt.Sprintf("%s has this address and port for %s, and not both can be there, as servers of MySQL and MongoDB may speak first; give the service another port, until then clients with a sidecar do not reach it there",
			first.service.Hostname, first.port.Protocol))
		return true
	}
	o.tcp = slices.DeleteFunc(o.tcp, func(sp tcpPort) bool { return left(sp.servicePort) })
	if o.web.service == nil || !speaksFirst(first.port.Protocol) {
		return
	}
	o.routes, o.grpcWeb = "", false
	for _, sp := range p.http[o.port] {
		if sp.port.Protocol.IsHTTP() {
			left(sp)
		}
	}
}

// speaksFirst tells whether servers of a protocol may speak before their clients do.
func speaksFirst(p model.Protocol) bool { return p == model.ProtocolMySQL || p == model.ProtocolMongo }

// place gives what a service may have of a listener beside those that have a place there, false for nothing, and
// reports what another has taken. Of hosts of one ServiceEntry, whose connections go where they were sent, the first
// is enough; where the protocol is sniffed the others have what names them.
func (p *planner) place(o *outbound, sp tcpPort) (tcpPort, bool) {
	for _, other := range o.tcp {
		if !other.clashes(sp) {
			continue
		}
		if other.service.Key == sp.service.Key && sp.service.Resolution == model.ResolutionPassthrough {
			sp.named = true
			return sp, sp.port.Protocol == model.ProtocolAuto
		}
		p.problem(sp.servicePort, fmt.Sprintf("%s already takes this address and port; give the service an address of its own or another port, until then clients with a sidecar do not reach it there", other.service.Hostname))
		sp.subnets = slices.DeleteFunc(slices.Clone(sp.subnets), func(s string) bool { return slices.Contains(other.subnets, s) })
		if len(sp.subnets) == 0 {
			return sp, false
		}
	}
	return sp, true
}

// clashes tells whether nothing in a connection tells which of two services at one address is meant.
func (t tcpPort) clashes(o tcpPort) bool {
	if t.port.Protocol.IsTLS() && o.port.Protocol.IsTLS() { // the name in the handshake does
		return false
	}
	if len(t.subnets) == 0 || len(o.subnets) == 0 {
		return len(t.subnets) == len(o.subnets)
	}
	return slices.ContainsFunc(t.subnets, func(s string) bool { return slices.Contains(o.subnets, s) })
}
