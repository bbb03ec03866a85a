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
	// listeners are the egress listeners that name a port, and rest is what the one without takes; nil where
	// there is none.
	listeners []egressListener
	rest      *egressListener
	// allowAny lets traffic to unknown destinations pass, through proxy where that names a cluster.
	allowAny bool
	proxy    string
	// byName lets requests to them pass to the host that they name, and dynamic tells that some requests of
	// the class may: those, or requests to a service of dynamic hosts.
	byName, dynamic bool
}

// newScope finds what a class sees: all that is visible from its namespace, narrowed by the egress
// hosts of its Sidecar object. Routers know no Sidecar.
func newScope(r Reader, c *Class) *scope {
	s := &scope{allowAny: meshAllowsAny(r), byName: meshAllowsByName(r)}
	s.read(r, c)
	s.dynamic = s.byName || s.hasDynamic(r, c)
	return s
}

// read takes in what the Sidecar object in force says.
func (s *scope) read(r Reader, c *Class) {
	var spec *networking.Sidecar
	if s.sidecar, spec = sidecarOf(r, c); s.sidecar == nil {
		return
	}
	if p := spec.GetOutboundTrafficPolicy(); p != nil {
		s.byName = false
		s.allowAny = p.GetMode() == networking.OutboundTrafficPolicy_ALLOW_ANY
		s.proxy = egressProxy(r, s.sidecar, p.GetEgressProxy())
	}
	if len(spec.GetEgress()) > 0 {
		egress := parseEgress(spec, c.Namespace)
		s.egress, s.services = &egress, map[string]*model.Service{}
		s.take(r, c)
		s.listeners, s.rest = egressListeners(spec, c)
	}
}

// sidecarOf gives the Sidecar object in force for a class, and what it says; nil for none.
func sidecarOf(r Reader, c *Class) (*model.Object, *networking.Sidecar) {
	if c.Sidecar != (model.Key{}) {
		if o := r.Object(c.Sidecar); o != nil {
			return o, o.Spec.(*networking.Sidecar)
		}
	}
	return nil, nil
}

// egressProxy gives the cluster that takes what goes to unknown destinations; "" for none.
func egressProxy(r Reader, sidecar *model.Object, d *networking.Destination) string {
	if d == nil {
		return ""
	}
	return model.ClusterName("outbound", d.GetPort().GetNumber(), d.GetSubset(), model.ResolveHost(d.GetHost(), sidecar.Namespace, r.Domain()))
}

// take finds the services that the egress hosts name, and of those to which the VirtualServices among
// the hosts lead the ports that they lead to.
func (s *scope) take(r Reader, c *Class) {
	for _, svc := range s.egress.services(r, c) {
		s.services[svc.Hostname] = svc
	}
	led := map[string][]uint32{}
	for _, o := range s.egress.virtualServices(r, c) {
		if s.firstHost(r, o) == "" {
			continue
		}
		for _, d := range destinations(r, c, o) {
			host := concrete(r, c.Namespace, model.ResolveHost(d.GetHost(), o.Namespace, r.Domain()))
			if _, ok := s.services[host]; !ok && host != "" {
				led[host] = append(led[host], d.GetPort().GetNumber())
			}
		}
	}
	for host, ports := range led {
		if svc := withPorts(r.Service(c.Namespace, host), ports); svc != nil {
			s.services[host] = svc
		}
	}
}

// within narrows the scope to the hosts of an egress listener, which VirtualServices and aliases count for; nil for all.
func (s *scope) within(hosts *egressHosts) *scope {
	if hosts == nil {
		return s
	}
	out := *s
	out.egress = hosts
	return &out
}

// withPorts gives a service with some of its ports alone, or nil where it has none of them; 0 among the
// numbers stands for all.
func withPorts(svc *model.Service, numbers []uint32) *model.Service {
	if svc == nil || slices.Contains(numbers, 0) {
		return svc
	}
	out := *svc
	out.Ports = slices.DeleteFunc(slices.Clone(svc.Ports), func(p model.ServicePort) bool { return !slices.Contains(numbers, p.Port) })
	switch len(out.Ports) {
	case 0:
		return nil
	case len(svc.Ports):
		return svc
	}
	return &out
}

// list gives the services of the scope, one a hostname, sorted by hostname.
func (s *scope) list(r Reader, c *Class) []*model.Service {
	if s.services == nil {
		return r.Services(c.Namespace)
	}
	return slices.SortedFunc(maps.Values(s.services), func(a, b *model.Service) int { return strings.Compare(a.Hostname, b.Hostname) })
}

// hosts gives the hosts of VirtualServices that are in the scope.
func (s *scope) hosts(r Reader, c *Class) []string {
	if s.egress == nil {
		return r.VirtualServiceHosts(c.Namespace)
	}
	var out []string
	for _, o := range s.egress.virtualServices(r, c) {
		out = append(out, s.egress.passing(o.Namespace, slices.Collect(hostsOf(r, o)))...)
	}
	return distinct(out)
}

// firstHost gives the first host of a VirtualService that is in the scope; "" for none.
func (s *scope) firstHost(r Reader, o *model.Object) string {
	for host := range hostsOf(r, o) {
		if s.egress == nil {
			return host
		}
		if passing := s.egress.passing(o.Namespace, []string{host}); len(passing) > 0 {
			return passing[0]
		}
	}
	return ""
}

func meshAllowsAny(r Reader) bool {
	p := r.Mesh().GetOutboundTrafficPolicy()
	return p == nil || p.GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY || meshAllowsByName(r)
}

// meshAllowsByName tells whether requests to unknown destinations go to the host that they name.
func meshAllowsByName(r Reader) bool {
	return r.Mesh().GetOutboundTrafficPolicy().GetMode() == meshconfig.MeshConfig_OutboundTrafficPolicy_ALLOW_ANY_DYNAMIC_DNS
}

// destinations lists where the rules of a VirtualService that are for a class of sidecars send to.
func destinations(r Reader, c *Class, o *model.Object) []*networking.Destination {
	var out []*networking.Destination
	vs := o.Spec.(*networking.VirtualService)
	for _, from := range newVirtualService(r, o).http {
		rule := from.spec
		if !concerns(c, rule.GetMatch()) || len(from.within) > 0 && !concerns(c, from.within) {
			continue
		}
		out = append(out, routeDestinations(rule.GetRoute())...)
		if m := rule.GetMirror(); m != nil {
			out = append(out, m)
		}
		out = append(out, routeDestinations(rule.GetMirrors())...)
	}
	for _, rule := range vs.GetTcp() {
		if concerns(c, rule.GetMatch()) {
			out = append(out, routeDestinations(rule.GetRoute())...)
		}
	}
	for _, rule := range vs.GetTls() {
		if concerns(c, rule.GetMatch()) {
			out = append(out, routeDestinations(rule.GetRoute())...)
		}
	}
	return out
}

func routeDestinations[R interface {
	GetDestination() *networking.Destination
}](routes []R) []*networking.Destination {
	out := make([]*networking.Destination, len(routes))
	for i, d := range routes {
		out[i] = d.GetDestination()
	}
	return out
}

// sourced is what matches of all protocols say of the client.
type sourced interface {
	GetGateways() []string
	GetSourceNamespace() string
	GetSourceLabels() map[string]string
}

// concerns tells whether one of a rule's matches may be for the class; none is for everyone.
func concerns[M sourced](c *Class, matches []M) bool {
	return len(matches) == 0 || slices.ContainsFunc(matches, func(m M) bool {
		if !model.BoundToMesh(m.GetGateways()) {
			return false
		}
		if ns := m.GetSourceNamespace(); ns != "" && ns != c.Namespace {
			return false
		}
		return len(m.GetSourceLabels()) == 0 || c.hasSourceLabels(model.LabelSet(m.GetSourceLabels()))
	})
}
