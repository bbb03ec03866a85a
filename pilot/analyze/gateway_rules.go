package analyze

import (
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// boundServer is a server of a Gateway that offers hosts of a VirtualService.
type boundServer struct {
	gateway object[*networking.Gateway]
	index   int
	spec    *networking.Server
	takes   resolve.Rules
}

// rulesWithoutServer finds VirtualServices with rules of one protocol at servers of Gateways that go by those of another
// one: rules for requests where TLS passes through unread, or for TLS where requests are routed. A server for which
// others have rules that fit is meant for those, where the VirtualService has its use elsewhere.
func rulesWithoutServer(m *mesh) {
	all := of[*networking.VirtualService](m, model.KindVirtualService)
	type at struct {
		gateway *model.Object
		index   int
	}
	served := map[at]bool{} // servers for which some have rules that fit
	for _, vs := range all {
		for _, s := range m.boundServers(vs) {
			if fits(vs.spec, s.takes) {
				served[at{s.gateway.Object, s.index}] = true
			}
		}
	}
	for _, vs := range all {
		if len(vs.spec.GetHosts()) == 0 {
			continue // a delegate
		}
		servers := m.boundServers(vs)
		used := slices.ContainsFunc(servers, func(s boundServer) bool { return fits(vs.spec, s.takes) })
		for _, s := range servers {
			if fits(vs.spec, s.takes) {
				continue
			}
			if !used || !served[at{s.gateway.Object, s.index}] {
				m.report(vs.Object, "spec."+protocols(vs.spec)[0], "", Warning, "%s spec.servers[%d] (port %d) %s, so the rules are not used there; %s",
					s.gateway.Key, s.index, s.spec.GetPort().GetNumber(), takes(s.takes), remedy(s.takes))
			}
		}
	}
}

// boundServers gives the servers that offer hosts of a VirtualService and go by rules.
func (m *mesh) boundServers(vs object[*networking.VirtualService]) []boundServer {
	var out []boundServer
	for _, gw := range m.gatewaysOf(vs) {
		for i, s := range gw.spec.GetServers() {
			takes, ok := resolve.RulesOf(s)
			b := boundServer{gw, i, s, takes}
			if ok && takes != (resolve.Rules{}) && b.offers(vs) && len(protocols(vs.spec)) > 0 {
				out = append(out, b)
			}
		}
	}
	return out
}

// offers tells whether a server has a host of a VirtualService.
func (s *boundServer) offers(vs object[*networking.VirtualService]) bool {
	return slices.ContainsFunc(vs.spec.GetHosts(), func(host string) bool {
		return resolve.Offers(s.spec, s.gateway.Namespace, vs.Namespace, model.CanonicalHost(host))
	})
}

// protocols gives the fields of the rules that a VirtualService has.
func protocols(vs *networking.VirtualService) []string {
	var out []string
	for field, n := range map[string]int{"http": len(vs.GetHttp()), "tls": len(vs.GetTls()), "tcp": len(vs.GetTcp())} {
		if n > 0 {
			out = append(out, field)
		}
	}
	slices.Sort(out)
	return out
}

// fits tells whether a VirtualService has rules by which a server goes.
func fits(vs *networking.VirtualService, r resolve.Rules) bool {
	return r.HTTP && len(vs.GetHttp()) > 0 || r.TLS && len(vs.GetTls()) > 0 || r.TCP && len(vs.GetTcp()) > 0
}

// takes says by which rules a server goes.
func takes(r resolve.Rules) string {
	switch {
	case r.HTTP:
		return "routes requests by http rules only"
	case r.TLS:
		return "passes TLS on unread, by tls rules only"
	}
	return "forwards bytes by tcp rules only"
}

// remedy says what to do about rules that a server does not take.
func remedy(r resolve.Rules) string {
	switch {
	case r.HTTP:
		return "write http rules, or change the server's protocol"
	case r.TLS:
		return "write tls rules with sniHosts, or end TLS there (mode SIMPLE)"
	}
	return "write tcp rules, or change the server's protocol"
}
