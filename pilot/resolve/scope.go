package resolve

import (
	"maps"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// scope is what a class of proxies sees of the mesh when it sends. It belongs to a Plan.
type scope struct {
	// sidecar is the Sidecar object in force, or nil, and egress what its egress hosts let pass; nil for
	// everything that is visible from the class's namespace.
	sidecar *model.Object
	egress  *egressHosts
	// services are those within egress, by hostname; nil where egress is.
	services map[string]*model.Service
	// allowAny lets traffic to unknown destinations pass.
	allowAny bool
}

// newScope finds what a class sees: all that is visible from its namespace, narrowed by the egress
// hosts of its Sidecar object. Routers know no Sidecar.
func newScope(r Reader, c *Class) *scope {
	s := &scope{allowAny: meshAllowsAny(r)}
	if c.Sidecar == (model.Key{}) {
		return s
	}
	s.sidecar = r.Object(c.Sidecar)
	if s.sidecar == nil {
		return s
	}
	spec := s.sidecar.Spec.(*networking.Sidecar)
	if p := spec.GetOutboundTrafficPolicy(); p != nil {
		s.allowAny = p.GetMode() == networking.OutboundTrafficPolicy_ALLOW_ANY
	}
	if len(spec.GetEgress()) > 0 {
		egress := parseEgress(spec, c.Namespace)
		s.egress, s.services = &egress, map[string]*model.Service{}
		s.take(r, c)
	}
	return s
}

// take finds the services that the egress hosts name, and those to which the VirtualServices among
// the hosts lead.
func (s *scope) take(r Reader, c *Class) {
	for _, svc := range s.egress.services(r, c) {
		if s.egress.allowService(svc) {
			s.services[svc.Hostname] = svc
		}
	}
	for _, o := range s.egress.virtualServices(r, c) {
		vs := o.Spec.(*networking.VirtualService)
		if !boundToMesh(vs) || !s.egress.allowVirtualService(o, vs, r.Domain()) {
			continue
		}
		for _, host := range destinationHosts(vs) {
			full := model.ResolveHost(host, o.Namespace, r.Domain())
			if _, ok := s.services[full]; ok {
				continue
			}
			if svc := r.Service(c.Namespace, full); svc != nil {
				s.services[full] = svc
			}
		}
	}
}

// list gives the services of the scope, one a hostname, sorted by hostname.
func (s *scope) list(r Reader, c *Class) []*model.Service {
	if s.services == nil {
		return r.Services(c.Namespace)
	}
	out := slices.Collect(maps.Values(s.services))
	slices.SortFunc(out, func(a, b *model.Service) int { return strings.Compare(a.Hostname, b.Hostname) })
	return out
}

// hosts gives the hosts of the scope's VirtualServices.
func (s *scope) hosts(r Reader, c *Class) []string {
	if s.egress == nil {
		return r.VirtualServiceHosts(c.Namespace)
	}
	var out []string
	for _, o := range s.egress.virtualServices(r, c) {
		vs := o.Spec.(*networking.VirtualService)
		if !boundToMesh(vs) || !s.egress.allowVirtualService(o, vs, r.Domain()) {
			continue
		}
		for _, host := range vs.GetHosts() {
			out = append(out, model.ResolveHost(host, o.Namespace, r.Domain()))
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func boundToMesh(vs *networking.VirtualService) bool {
	gateways := vs.GetGateways()
	return len(gateways) == 0 || slices.Contains(gateways, model.MeshGateway)
}

func meshAllowsAny(r Reader) bool {
	p := r.Mesh().GetOutboundTrafficPolicy()
	return p == nil || p.GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY
}

// destinationHosts lists every host that a VirtualService sends to, as written.
func destinationHosts(vs *networking.VirtualService) []string {
	var out []string
	add := func(d *networking.Destination) {
		if h := d.GetHost(); h != "" {
			out = append(out, h)
		}
	}
	for _, h := range vs.GetHttp() {
		for _, d := range h.GetRoute() {
			add(d.GetDestination())
		}
		add(h.GetMirror())
		for _, m := range h.GetMirrors() {
			add(m.GetDestination())
		}
	}
	for _, t := range vs.GetTcp() {
		for _, d := range t.GetRoute() {
			add(d.GetDestination())
		}
	}
	for _, t := range vs.GetTls() {
		for _, d := range t.GetRoute() {
			add(d.GetDestination())
		}
	}
	return out
}
