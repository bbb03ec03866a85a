package resolve

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// servicePort is one port of one service.
type servicePort struct {
	service *model.Service
	port    *model.ServicePort
}

// same tells whether both are equal; those of a plan may be copies.
func (sp servicePort) same(o servicePort) bool {
	return sp == o || sp.port != nil && o.port != nil && *sp.port == *o.port && sameService(sp.service, o.service)
}

// sameService tells whether two services are equal. Most are one, but a scope has some cut down.
func sameService(a, b *model.Service) bool { return a == b || reflect.DeepEqual(a, b) }

// tcpPort is a service's port as it is found at an address: within some subnets of the wildcard address,
// or at all of the address.
type tcpPort struct {
	servicePort
	subnets []string
	// named tells that another service has what is not HTTP there, and this one has what names it in a TLS handshake.
	named bool
}

func (t tcpPort) same(o tcpPort) bool {
	return t.servicePort.same(o.servicePort) && slices.Equal(t.subnets, o.subnets) && t.named == o.named
}

// outbound is what shares one address and port on the way out. HTTP services of a port share the
// wildcard address, where the host name of the request decides; all else has an address of its
// own, or the port for itself.
type outbound struct {
	address string // or unix://PATH, without a port
	port    uint32
	// routes names the route configuration of HTTP traffic; "" where there is none.
	routes string
	// web is the first by model.CompareServices of the HTTP services behind routes.
	web servicePort
	// grpcWeb tells that a service behind routes speaks gRPC-Web.
	grpcWeb bool
	// sniff tells that the services of an address of their own, whose protocol is unknown, are behind routes: one, or
	// several hosts of one ServiceEntry.
	sniff bool
	// bound tells that the proxy itself listens there; locked, that an egress listener of a Sidecar has it
	// for itself.
	bound, locked bool
	// hosts are those of the egress listener of a Sidecar that it is of; nil for all.
	hosts *egressHosts
	// tcp are the services that take what is not HTTP: one, or several that SNI or the subnets of their
	// addresses tell apart.
	tcp []tcpPort
}

// socket is where an outbound is found. Its name says the same, but would have to be made for each service.
type socket struct {
	address string
	port    uint32
}

func (o *outbound) socket() socket { return socket{o.address, o.port} }

func (o *outbound) name() string {
	if isSocket(o.address) {
		return o.address
	}
	return listenerName(o.address, o.port)
}

// listenerName gives IP_port, as tools expect it.
func listenerName(address string, port uint32) string {
	return address + "_" + strconv.FormatUint(uint64(port), 10)
}

// planner plans the listeners of a class of sidecars for what it sends.
type planner struct {
	view
	outbounds map[socket]*outbound
	// http are by port the services whose requests share its route configuration, if it has one, sorted by hostname.
	http     map[uint32][]servicePort
	listener *egressListener // of the Sidecar that services are added to now, or nil
}

// plan says which sidecar listeners there are, sorted by address and port, and reports
// services that cannot have one. Both listeners and routes follow from it.
func (p *planner) plan(services []*model.Service) []*outbound {
	p.addProxy()
	if p.scope.plain() {
		p.addServices(services, func(*model.Service) bool { return true })
	} else {
		p.addListeners(services)
	}
	for _, o := range p.outbounds {
		p.settle(o)
	}
	return slices.SortedFunc(maps.Values(p.outbounds), func(a, b *outbound) int {
		return cmp.Or(strings.Compare(a.address, b.address), cmp.Compare(a.port, b.port))
	})
}

func (p *planner) put(o *outbound) { p.outbounds[o.socket()] = o }

// addServices takes in all ports of those services that are meant.
func (p *planner) addServices(services []*model.Service, meant func(*model.Service) bool) {
	for _, svc := range services {
		for i := range svc.Ports {
			if meant(svc) {
				p.addService(svc, &svc.Ports[i])
			}
		}
	}
}

// addService takes in a port of a service: its listeners, and its place among those that share routes.
func (p *planner) addService(svc *model.Service, port *model.ServicePort) {
	if l := p.listener; l != nil && l.protocol != model.ProtocolAuto && l.protocol != port.Protocol {
		as := *port
		as.Protocol = l.protocol
		port = &as
	}
	sp := servicePort{svc, port}
	if !p.add(sp) || !port.Protocol.IsHTTP() && port.Protocol != model.ProtocolAuto {
		return
	}
	if same := p.http[port.Port]; len(same) == 0 || same[len(same)-1].service != svc { // the first of a number
		p.http[port.Port] = append(same, sp)
	}
}

// add takes in a port of a service, and tells whether that may be among those whose requests share routes.
func (p *planner) add(sp servicePort) bool {
	switch protocol := sp.port.Protocol; {
	case protocol == model.ProtocolUDP:
		return false
	case protocol.IsHTTP():
		o := p.at(sp, p.sharedAddress(p.listener))
		if o != nil && !o.locked {
			if o.routes == "" { // the first of the many that share it
				o.routes = portName(o.port)
			}
			if o.web.service == nil || model.CompareServices(sp.service, o.web.service) < 0 {
				o.web = sp
			}
			o.grpcWeb = o.grpcWeb || protocol == model.ProtocolGRPCWeb
		}
		return o == nil || !o.locked
	}
	free := true
	ips, subnets := p.addresses(sp)
	for _, ip := range ips {
		free = p.addTCPAt(ip, tcpPort{servicePort: sp}) && free
	}
	if len(subnets) > 0 {
		free = p.addTCPAt(wildcard(p.c), tcpPort{servicePort: sp, subnets: subnets}) && free
	}
	return free
}

// addTCPAt takes in a service that is no HTTP service at an address, and tells whether the address is not
// locked.
func (p *planner) addTCPAt(address string, sp tcpPort) bool {
	o := p.at(sp.servicePort, address)
	if o != nil && !o.locked {
		o.tcp = append(o.tcp, sp)
	}
	return o == nil || !o.locked
}

// at gives the listener of an address and the service's port. The ports of the proxy's own
// listeners cannot be had on the wildcard address: Envoy takes no second listener there.
func (p *planner) at(sp servicePort, address string) *outbound {
	wanted := outbound{address: address, port: sp.port.Port}
	if l := p.listener; l != nil {
		wanted.port, wanted.bound, wanted.hosts = cmp.Or(l.port, wanted.port), l.bound, &l.hosts
	}
	switch n := wanted.port; {
	case p.ownPort(address, n):
		p.problem(sp, fmt.Sprintf("the proxy itself listens on port %d; choose another, until then clients with a sidecar reach the service only as an unknown destination", n))
		return nil
	case wanted.bound && !p.c.opens(n):
		p.problem(sp, tooLow(n)+", until then nothing listens there")
		return nil
	}
	o := p.outbounds[wanted.socket()]
	if o == nil {
		o = new(outbound)
		*o = wanted
		p.put(o)
	}
	return o
}

// bySNI tells whether a service takes only what has its name in the handshake: one of TLS where others may be
// meant at the address, and one that has nothing else of it.
func bySNI(o *outbound, sp tcpPort) bool {
	return sp.named || sp.port.Protocol.IsTLS() && (o.address == wildcardIPv4 || o.address == wildcardIPv6 || len(o.tcp) > 1)
}

// addresses gives the addresses of a service as a class knows them. Those that were allocated are told
// by the agent's DNS alone.
func addresses(c *Class, svc *model.Service) []string {
	if len(svc.Addresses) > 0 || !c.DNSCapture {
		return svc.Addresses
	}
	var out []string
	for _, ip := range svc.Allocated {
		if usable(c, ip) {
			out = append(out, ip)
		}
	}
	return out
}

// addresses gives the IPs at which a service that is no HTTP service is reached: its own, those of its workloads where
// connections go where they were sent and a selector says whereto, or any, and the subnets. One without workloads has none.
func (p *planner) addresses(sp servicePort) (ips, subnets []string) {
	if l := p.listener; l != nil && (l.bind != "" || l.bound) {
		return []string{p.sharedAddress(l)}, nil
	}
	own := addresses(p.c, sp.service)
	for _, text := range own {
		switch ip, _, isSubnet := strings.Cut(text, "/"); {
		case !usable(p.c, ip) && !(isSubnet && unspecified(ip)):
		case isSubnet:
			subnets = append(subnets, text)
		default:
			ips = append(ips, text)
		}
	}
	switch {
	case len(own) > 0:
		return ips, subnets
	case sp.service.Headless, sp.service.Resolution == model.ResolutionPassthrough && len(sp.service.Selector) > 0:
		return p.podAddresses(sp), nil
	}
	return []string{wildcard(p.c)}, nil
}

// podAddresses includes the proxy's own address, which would set each proxy apart from its class:
// a pod's traffic to itself does not pass here, so the listener is idle there.
func (p *planner) podAddresses(sp servicePort) []string {
	var out []string
	for _, ep := range endpointsFor(p.r, p.c, sp.service) {
		if ep.ServicePort == sp.port.Name && ep.Health != model.Draining && usable(p.c, ep.Address) {
			out = append(out, ep.Address)
		}
	}
	return distinct(out)
}

func (p *planner) problem(sp servicePort, message string) {
	p.report(model.Problem{
		Object: sp.service.Key, Field: fmt.Sprintf("spec.ports[port=%d]", sp.port.Port), Severity: model.SeverityWarning,
		Reason: model.ReasonOutboundConflict, Message: message, Origin: sp.service.Origin,
	})
}

const (
	wildcardIPv4 = "0.0.0.0"
	wildcardIPv6 = "::"
)

// wildcard is the address that means all of the class's own.
func wildcard(c *Class) string {
	if c.IPv6 && !c.IPv4 {
		return wildcardIPv6
	}
	return wildcardIPv4
}

// bindAddress gives where a listener binds that a user gave an address, or "" for the class's own. A class of both
// families has one wildcard address, which stands for both.
func bindAddress(c *Class, bind string) string {
	bind = model.CanonicalIP(bind)
	if bind == "" || bind == wildcardIPv6 && c.IPv4 && c.IPv6 {
		return wildcard(c)
	}
	return bind
}

// otherFamily gives what the wildcard address of a class of both families means beside itself; "" for nothing.
func otherFamily(c *Class, address string) string {
	if address == wildcardIPv4 && c.IPv4 && c.IPv6 {
		return wildcardIPv6
	}
	return ""
}

// usable tells whether a class has addresses of an IP's family; one without any takes IPv4.
func usable(c *Class, ip string) bool {
	a, err := netip.ParseAddr(ip)
	if err != nil || a.IsUnspecified() {
		return false
	}
	if a.Unmap().Is4() {
		return c.IPv4 || !c.IPv6
	}
	return c.IPv6
}

// unspecified tells whether an address is that of a subnet which holds all.
func unspecified(ip string) bool {
	a, err := netip.ParseAddr(ip)
	return err == nil && a.IsUnspecified()
}

// outboundPort is where the proxy captures what the workload sends.
func outboundPort(r Reader) uint32 { return uint32(r.Mesh().GetProxyListenPort()) }

// inboundPort is where the proxy captures what the workload gets.
func inboundPort(r Reader) uint32 { return uint32(r.Mesh().GetProxyInboundListenPort()) }

// sortProblems puts problems in order, each once; ir values do not repeat them per port.
func sortProblems(in []model.Problem) []model.Problem {
	slices.SortFunc(in, model.CompareProblems)
	return slices.Compact(in)
}
