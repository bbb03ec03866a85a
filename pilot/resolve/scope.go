package resolve

import (
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// EgressScope is what a class of proxies sees of the mesh when it sends.
type EgressScope struct {
	// Services that can be reached, one a hostname, sorted by hostname.
	Services []*model.Service
	// VirtualServices that may apply, model.Older first: for sidecars those of gateway "mesh",
	// for routers those with any gateway of their own.
	VirtualServices []*model.Object
	// Sidecar is the object in force, or nil.
	Sidecar *model.Object
	// AllowAny lets traffic to unknown destinations pass.
	AllowAny bool

	saw func(host string) // told of every host that is looked up; nil for nobody
}

// Service gives the one with the hostname, or nil where it is out of scope.
func (s *EgressScope) Service(hostname string) *model.Service {
	if s.saw != nil {
		s.saw(hostname)
	}
	i, ok := slices.BinarySearchFunc(s.Services, hostname, func(svc *model.Service, h string) int {
		return strings.Compare(svc.Hostname, h)
	})
	if !ok {
		return nil
	}
	return s.Services[i]
}

// Scope finds what a class sees: all that is visible from its namespace, narrowed by the egress
// hosts of its Sidecar object. Routers know no Sidecar.
func Scope(r Reader, c *Class) *EgressScope {
	s := &EgressScope{Services: r.Services(c.Namespace), AllowAny: meshAllowsAny(r)}
	for _, o := range r.VirtualServices(c.Namespace) {
		if vs, ok := o.Spec.(*networking.VirtualService); ok && bound(vs, c.Type) {
			s.VirtualServices = append(s.VirtualServices, o)
		}
	}
	s.Sidecar = sidecarObject(r, c)
	if s.Sidecar == nil {
		return s
	}
	spec := s.Sidecar.Spec.(*networking.Sidecar)
	if p := spec.GetOutboundTrafficPolicy(); p != nil {
		s.AllowAny = p.GetMode() == networking.OutboundTrafficPolicy_ALLOW_ANY
	}
	if len(spec.GetEgress()) > 0 {
		s.narrow(r, c, parseEgress(spec, c.Namespace))
	}
	return s
}

// narrow keeps what the egress hosts name, and what the VirtualServices among it lead to.
func (s *EgressScope) narrow(r Reader, c *Class, hosts egressHosts) {
	all := s.Services
	keep := map[string]*model.Service{}
	for _, svc := range all {
		if hosts.allowService(svc) {
			keep[svc.Hostname] = svc
		}
	}
	var visible []*model.Object
	for _, o := range s.VirtualServices {
		vs := o.Spec.(*networking.VirtualService)
		if !hosts.allowVirtualService(o, vs, r.Domain()) {
			continue
		}
		visible = append(visible, o)
		for _, host := range destinationHosts(vs) {
			full := ResolveHost(host, o.Namespace, r.Domain())
			if _, ok := keep[full]; ok {
				continue
			}
			if svc := r.Service(c.Namespace, full); svc != nil {
				keep[full] = svc
			}
		}
	}
	s.VirtualServices = visible
	s.Services = make([]*model.Service, 0, len(keep))
	for _, svc := range keep {
		s.Services = append(s.Services, svc)
	}
	slices.SortFunc(s.Services, func(a, b *model.Service) int { return strings.Compare(a.Hostname, b.Hostname) })
}

// ResolveHost completes a short name (one without a dot) in the namespace of the object that
// uses it; every other name, wildcards too, stays as it is.
func ResolveHost(host, namespace, domain string) string {
	if host == "" || strings.ContainsAny(host, ".*") {
		return host
	}
	return host + "." + namespace + ".svc." + domain
}

// meshGateway is the reserved name of "all sidecars" in a VirtualService's gateways.
const meshGateway = "mesh"

func bound(vs *networking.VirtualService, t model.ProxyType) bool {
	gateways := vs.GetGateways()
	if t == model.RouterProxy {
		return slices.ContainsFunc(gateways, func(g string) bool { return g != meshGateway })
	}
	return len(gateways) == 0 || slices.Contains(gateways, meshGateway)
}

func meshAllowsAny(r Reader) bool {
	p := r.Mesh().GetOutboundTrafficPolicy()
	return p == nil || p.GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY
}

func sidecarObject(r Reader, c *Class) *model.Object {
	if c.Sidecar == (model.Key{}) {
		return nil
	}
	for _, o := range r.Sidecars(c.Sidecar.Namespace) {
		if _, ok := o.Spec.(*networking.Sidecar); ok && o.Key == c.Sidecar {
			return o
		}
	}
	return nil
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
