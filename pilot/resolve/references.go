package resolve

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// gatewayReferences reports what a VirtualService says of gateways that leads nowhere: names that no
// Gateway has, Gateways that serve none of its hosts, hosts that none of its gateways serves, and matches
// for gateways that it is not bound to. Each is served by nobody, and nothing else would say so.
func gatewayReferences(r Reader, vs *virtualService) []model.Problem {
	if len(vs.spec.GetGateways()) == 0 {
		return unboundMatches(vs, []string{model.MeshGateway})
	}
	b := bindings{vs: vs, served: map[string]bool{}}
	var names []string
	for i, g := range vs.spec.GetGateways() {
		name := model.GatewayName(g, vs.Namespace)
		names = append(names, name)
		if name != model.MeshGateway {
			b.bind(r, fmt.Sprintf("spec.gateways[%d]", i), name)
		}
	}
	if !boundToMesh(vs.spec) && b.known == len(names) {
		b.unservedHosts()
	}
	return append(b.problems, unboundMatches(vs, names)...)
}

// bindings are the Gateways that a VirtualService names.
type bindings struct {
	vs       *virtualService
	known    int             // Gateways that exist and serve some host
	served   map[string]bool // hosts, as vs.hosts has them
	problems []model.Problem
}

func (b *bindings) bind(r Reader, field, name string) {
	namespace, own, _ := strings.Cut(name, "/")
	gateway := r.Object(model.Key{Kind: model.KindGateway, Namespace: namespace, Name: own})
	if gateway == nil {
		b.problems = append(b.problems, danglingReference(b.vs, field, "there is no Gateway "+name+"; nobody serves the hosts there until there is one"))
		return
	}
	any := false
	for _, host := range b.vs.hosts {
		if offers(gateway, b.vs.Namespace, host) {
			any, b.served[host] = true, true
		}
	}
	if !any {
		b.problems = append(b.problems, danglingReference(b.vs, field, "no server of Gateway "+name+" has any of the hosts for namespace "+b.vs.Namespace+"; add one to its hosts, until then the rules are not used there"))
		return
	}
	b.known++
}

// unservedHosts reports the hosts that none of the gateways has.
func (b *bindings) unservedHosts() {
	for i, host := range b.vs.hosts {
		if !b.served[host] {
			b.problems = append(b.problems, danglingReference(b.vs, fmt.Sprintf("spec.hosts[%d]", i), "no gateway of the VirtualService has the host "+host+" for namespace "+b.vs.Namespace+"; add it to the hosts of a server, until then it is not served"))
		}
	}
}

// offers tells whether some server of a Gateway has a host for the VirtualServices of a namespace, be it
// translated or not.
func offers(gateway *model.Object, namespace, host string) bool {
	for _, server := range gateway.Spec.(*networking.Gateway).GetServers() {
		for _, h := range server.GetHosts() {
			if newServerHost(gateway.Namespace, h).shared(namespace, host) != "" {
				return true
			}
		}
	}
	return false
}

// unboundMatches reports the gateways of matches that the VirtualService is not bound to.
func unboundMatches(vs *virtualService, bound []string) []model.Problem {
	var out []model.Problem
	check := func(field string, gateways []string) {
		for i, g := range gateways {
			if !slices.Contains(bound, model.GatewayName(g, vs.Namespace)) {
				out = append(out, danglingReference(vs, fmt.Sprintf("%s.gateways[%d]", field, i), "the VirtualService is not bound to gateway "+g+", so that the match never holds there; add it to spec.gateways"))
			}
		}
	}
	spec := vs.spec
	for i, rule := range spec.GetHttp() {
		for j, m := range rule.GetMatch() {
			check(fmt.Sprintf("spec.http[%d].match[%d]", i, j), m.GetGateways())
		}
	}
	for i, rule := range spec.GetTcp() {
		for j, m := range rule.GetMatch() {
			check(fmt.Sprintf("spec.tcp[%d].match[%d]", i, j), m.GetGateways())
		}
	}
	for i, rule := range spec.GetTls() {
		for j, m := range rule.GetMatch() {
			check(fmt.Sprintf("spec.tls[%d].match[%d]", i, j), m.GetGateways())
		}
	}
	return out
}

func danglingReference(vs *virtualService, field, message string) model.Problem {
	return model.Problem{
		Object: vs.Key, Field: field, Severity: model.SeverityWarning, Reason: model.ReasonReference, Message: message, Origin: vs.Origin,
	}
}
