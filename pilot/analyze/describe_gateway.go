package analyze

import (
	"fmt"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// ServedGateway is a Gateway that a gateway's proxy serves.
type ServedGateway struct {
	Object  string   `json:"object"`
	Servers []string `json:"servers,omitempty"` // a line each
	// VirtualServices are those that name it, with their hosts.
	VirtualServices []BoundHosts `json:"virtualServices,omitempty"`
}

// BoundHosts are the hosts of a VirtualService.
type BoundHosts struct {
	Object string   `json:"object"`
	Hosts  []string `json:"hosts"`
}

// served tells of a Gateway that a proxy of a namespace serves. It also gives the objects that it names, delegates of the VirtualServices among them.
func (t *Translation) served(key model.Key, namespace string) (ServedGateway, []model.Key) {
	out, about := ServedGateway{Object: key.String()}, []model.Key{key}
	if o := t.mesh.known(key); o != nil {
		if m, made := o.MadeOf(""); made {
			out.Object = m.Object.String()
		}
		for _, s := range o.Spec.(*networking.Gateway).GetServers() {
			out.Servers = append(out.Servers, serverText(s))
		}
	}
	for _, o := range slices.Concat(t.mesh.ofKind(model.KindVirtualService), t.mesh.ofIngresses()) {
		vs, ok := o.Spec.(*networking.VirtualService)
		names := func(g string) bool { return model.GatewayName(g, o.Namespace) == key.Namespace+"/"+key.Name }
		if !ok || !slices.ContainsFunc(vs.GetGateways(), names) || !model.VirtualServiceAudience(t.mesh.config, vs, o.Namespace).Has(namespace) {
			continue
		}
		bound := BoundHosts{Object: o.Key.String(), Hosts: vs.GetHosts()}
		if m, made := o.MadeOf(""); made {
			bound.Object = m.Object.String()
		}
		out.VirtualServices, about = append(out.VirtualServices, bound), append(about, o.Key)
		for _, rule := range resolve.RulesInForce(t.mesh.reader, o) {
			about = append(about, rule.Owner.Key)
		}
	}
	return out, about
}

// serverText says where a server of a Gateway listens, and how.
func serverText(s *networking.Server) string {
	text := fmt.Sprintf("%d/%s for %s", s.GetPort().GetNumber(), strings.ToUpper(s.GetPort().GetProtocol()), strings.Join(s.GetHosts(), ", "))
	switch tls := s.GetTls(); {
	case tls == nil:
		return text
	case tls.GetHttpsRedirect():
		return text + ", redirected to HTTPS"
	case tls.GetCredentialName() != "":
		return text + ", TLS " + tls.GetMode().String() + " by Secret " + tls.GetCredentialName()
	default:
		return text + ", TLS " + tls.GetMode().String()
	}
}
