package resolve

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// reportNaming reports what is wrong with the VirtualServices of which a host is the very name of one. What is wrong with
// an object as a whole is told once, by its first host: all of them would read what each of them is about. That rules are
// hidden is told by each host, for all the services that a wildcard stands for.
func (v *view) reportNaming(host string) {
	named := v.naming(host)
	var before []portRules
	for _, o := range named {
		first := v.scope.firstHost(v.r, o) == host
		if !first && len(named) == 1 {
			continue
		}
		vs := newVirtualService(v.r, o)
		if first {
			v.reportObject(vs)
		}
		if !model.BoundToMesh(vs.spec.GetGateways()) {
			continue
		}
		c := portRules{o, v.ports(vs)}
		if at := slices.IndexFunc(before, c.overlaps); at >= 0 {
			v.report(o.WarningAt("spec.hosts", model.ReasonConflict, "sidecars route "+host+" by "+before[at].by.Key.String()+
				", since rules of several VirtualServices for one host are not merged; put all rules into one object"))
		}
		before = append(before, c)
	}
}

// reportObject reports what is wrong with a VirtualService, whichever of its rules are in force.
func (v *view) reportObject(vs *virtualService) {
	v.report(slices.Concat(vs.problems, references(v.r, v.c.Namespace, vs))...)
}

// portRules are the ports on which HTTP rules of a VirtualService say something to the class, sorted; 0 stands for all.
type portRules struct {
	by    *model.Object
	ports []uint32
}

// overlaps tells whether two say something on the same port.
func (c portRules) overlaps(o portRules) bool {
	if len(c.ports) == 0 || len(o.ports) == 0 {
		return false
	}
	return c.ports[0] == 0 || o.ports[0] == 0 || slices.ContainsFunc(c.ports, func(port uint32) bool {
		_, found := slices.BinarySearch(o.ports, port)
		return found
	})
}

// ports gives those of portRules.
func (v *view) ports(vs *virtualService) []uint32 {
	var out []uint32
	s := v.ruleSet(vs, 0)
	for i := range vs.http {
		rule := &vs.http[i]
		if len(rule.spec.GetMatch()) == 0 {
			return []uint32{0}
		}
		for j, m := range rule.spec.GetMatch() {
			if s.concerns(m) && rule.carried(j, v.carries) {
				out = append(out, m.GetPort())
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// references reports what a VirtualService says of gateways, and of its own hosts' ports, that leads
// nowhere as a client's namespace sees it. That is a name that no Gateway has, a Gateway that serves
// none of its hosts, or a host that none of its gateways serves. It is also a match for a gateway that
// it is not bound to, or for a port that does not exist. Each is used by nobody, and nothing else would
// say so.
func references(r Reader, client string, vs *virtualService) []model.Problem {
	b := bindings{vs: vs, hosts: slices.Collect(hostsOf(r, vs.Object)), served: map[string]bool{}, ports: map[uint32]bool{}}
	gateways := vs.spec.GetGateways()
	if len(gateways) == 0 {
		gateways = []string{model.MeshGateway}
	}
	all := true
	for i, g := range gateways {
		name := model.GatewayName(g, vs.Namespace)
		b.names = append(b.names, name)
		if name == model.MeshGateway {
			all = b.bindMesh(r, client) && all
		} else {
			all = b.bind(r, fmt.Sprintf("spec.gateways[%d]", i), name) && all
		}
	}
	if all && !model.BoundToMesh(vs.spec.GetGateways()) {
		b.unservedHosts()
	}
	b.unusedMatches(all)
	return b.problems
}

// bindings are the gateways that a VirtualService names.
type bindings struct {
	vs       *virtualService
	names    []string // as model.GatewayName gives them
	hosts    []string
	served   map[string]bool // hosts that a Gateway has
	ports    map[uint32]bool // that clients address
	problems []model.Problem
}

// bindMesh takes the ports of the services behind the hosts, of wildcards that cover them too, and tells whether
// that is all that there are. Sidecars know other hosts on port 80, and a wildcard may be any service. Where no match is
// for a port the services are not looked at.
func (b *bindings) bindMesh(r Reader, client string) (all bool) {
	if slices.ContainsFunc(b.hosts, isWildcard) {
		return false
	}
	if !namesPort(b.vs.spec) {
		return true
	}
	for _, host := range b.hosts {
		if r.Service(client, host) == nil {
			b.ports[80] = true
		}
		for name := range covering(host) {
			b.addPorts(r.Service(client, name))
		}
	}
	return true
}

// namesPort tells whether a match of a VirtualService is for a port.
func namesPort(vs *networking.VirtualService) (names bool) {
	model.EachMatch(vs, func(_ model.MatchPlace, m model.Match) { names = names || m.GetPort() != 0 })
	return names
}

// covering yields a host, and the wildcards that cover it.
func covering(host string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(host) {
			return
		}
		for _, rest, more := strings.Cut(host, "."); more; _, rest, more = strings.Cut(rest, ".") {
			if !yield("*." + rest) {
				return
			}
		}
	}
}

// addPorts takes those of a service, nil for none.
func (b *bindings) addPorts(svc *model.Service) {
	if svc == nil {
		return
	}
	for i := range svc.Ports {
		if svc.Ports[i].Protocol != model.ProtocolUDP {
			b.ports[svc.Ports[i].Port] = true
		}
	}
}

// bind takes the hosts and ports of a Gateway, and tells whether it has any for the VirtualService.
func (b *bindings) bind(r Reader, field, name string) bool {
	namespace, own, _ := strings.Cut(name, "/")
	gateway := r.Object(model.Key{Kind: model.KindGateway, Namespace: namespace, Name: own})
	if gateway == nil {
		b.problems = append(b.problems, b.vs.ErrorAt(field, model.ReasonReference, "there is no Gateway "+name+"; nobody serves the hosts there until there is one"))
		return false
	}
	for _, server := range gateway.Spec.(*networking.Gateway).GetServers() {
		b.ports[server.GetPort().GetNumber()] = true
	}
	found := false
	for _, host := range b.hosts {
		if offers(gateway, b.vs.Namespace, host) {
			found, b.served[host] = true, true
		}
	}
	if !found {
		b.report(field, "no server of Gateway "+name+" has any of the hosts for namespace "+b.vs.Namespace+"; add one to its hosts, until then the rules are not used there")
	}
	return found
}

// unservedHosts reports the hosts that none of the gateways has.
func (b *bindings) unservedHosts() {
	for i, host := range b.hosts {
		if !b.served[host] {
			b.report(fmt.Sprintf("spec.hosts[%d]", i), "no gateway of the VirtualService has the host "+host+" for namespace "+b.vs.Namespace+"; add it to the hosts of a server, until then it is not served")
		}
	}
}

// offers tells whether some server of a Gateway has a host for the VirtualServices of a namespace, be it
// translated or not.
func offers(gateway *model.Object, namespace, host string) bool {
	return slices.ContainsFunc(gateway.Spec.(*networking.Gateway).GetServers(), func(server *networking.Server) bool {
		return Offers(server, gateway.Namespace, namespace, host)
	})
}

// unusedMatches reports the matches for gateways that the VirtualService is not bound to, and, where all
// its ports are known, for others.
func (b *bindings) unusedMatches(portsKnown bool) {
	model.EachMatch(b.vs.spec, func(at model.MatchPlace, m model.Match) {
		for i, g := range m.GetGateways() {
			if !slices.Contains(b.names, model.GatewayName(g, b.vs.Namespace)) {
				b.report(fmt.Sprintf("%s.gateways[%d]", at, i), "the VirtualService is not bound to gateway "+g+", so that the match never holds there; add it to spec.gateways")
			}
		}
		if port := m.GetPort(); portsKnown && port != 0 && !b.ports[port] {
			b.report(at.String()+".port", fmt.Sprintf("none of the hosts is reached on port %d, so that the match never holds; write a port of the service, or of a server of the gateway", port))
		}
	})
}

func (b *bindings) report(field, message string) {
	b.problems = append(b.problems, b.vs.WarningAt(field, model.ReasonReference, message))
}
