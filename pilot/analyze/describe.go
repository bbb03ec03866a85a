package analyze

import (
	"fmt"
	"maps"
	"slices"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Description is what of the mesh's configuration is about one workload, or one service.
type Description struct {
	// Workload is NAME.NAMESPACE of the workload, and Identity what its certificate says; empty of a service.
	Workload string `json:"workload,omitempty"`
	Kind     string `json:"kind,omitempty"` // sidecar or router
	Identity string `json:"identity,omitempty"`
	// Outside says why the workload is not in the mesh; empty where it is.
	Outside  string    `json:"notInMesh,omitempty"`
	Services []Exposed `json:"services"`
	// MutualTLS is what the workload's ports take.
	MutualTLS []PortMode `json:"mutualTLS,omitempty"`
	// Policies are the AuthorizationPolicies and RequestAuthentications that are for it.
	Policies []AppliedPolicy `json:"policies,omitempty"`
	// Settings are the other objects that are for it, as KIND/NAMESPACE/NAME.
	Settings []string `json:"settings,omitempty"`
	// Gateways are those that a gateway serves.
	Gateways []ServedGateway `json:"gateways,omitempty"`
	Problems []model.Problem `json:"-"`
	Said     []string        `json:"problems,omitempty"` // the problems, a line each
	// About are the objects that the description names, and Of the proxies of its workloads.
	About []model.Key `json:"-"`
	Of    []Proxy     `json:"-"`
}

// Exposed is a service of a workload.
type Exposed struct {
	Host             string       `json:"host"`
	Object           string       `json:"object"`
	Ports            []PortLine   `json:"ports"`
	DestinationRules []Applied    `json:"destinationRules,omitempty"`
	VirtualServices  []RoutedHere `json:"virtualServices,omitempty"`
	// NotSeenBy are the Sidecars that hide it, as KIND/NAMESPACE/NAME, with what becomes of what their workloads send there.
	NotSeenBy []string `json:"notSeenBy,omitempty"`
}

// PortLine is a port of a service.
type PortLine struct {
	Name       string `json:"name,omitempty"`
	Port       uint32 `json:"port"`
	Protocol   string `json:"protocol"` // "sniffed" where nothing says it
	TargetPort uint32 `json:"targetPort,omitempty"`
}

// Applied is a DestinationRule, with its subsets that the workload is in, and others.
type Applied struct {
	Object   string   `json:"object"`
	Clients  string   `json:"clients,omitempty"` // that go by it, where not all do
	Matching []string `json:"matchingSubsets,omitempty"`
	Others   []string `json:"otherSubsets,omitempty"`
	Settings []string `json:"settings,omitempty"` // of its trafficPolicy
}

// PortMode is how a port takes mutual TLS.
type PortMode struct {
	Port   uint32 `json:"port,omitempty"` // 0 for all others
	Mode   string `json:"mode"`
	Object string `json:"object,omitempty"` // that says so; empty for the mesh's default
}

// DescribeWorkload tells what is about the workload of a proxy.
func (t *Translation) DescribeWorkload(p Proxy) Description {
	m := t.mesh
	class := resolve.Classify(m.reader, p.of)
	labels := p.of.Labels
	at := resolve.WorkloadOf(m.reader, p.of)
	if at.Pod != nil {
		labels = at.Pod.Labels
	}
	out := Description{Workload: p.Name + "." + p.Namespace, Kind: string(p.Kind), Identity: t.Identity(p)}
	ports := map[uint32]bool{0: true}
	var about []model.Key
	for _, svc := range m.reader.ServicesSelecting("", p.Namespace, labels) {
		e, objects := t.exposed(svc, labels)
		out.Services, about = append(out.Services, e), append(about, objects...)
	}
	for _, in := range class.Inbound {
		ports[in.TargetPort] = true
	}
	out.MutualTLS = t.modes(&class, slices.Sorted(maps.Keys(ports)))
	for _, ap := range m.policiesOf(&class) {
		out.Policies, about = append(out.Policies, ap.AppliedPolicy), append(about, ap.key)
	}
	for _, key := range m.settingsFor(&class, labels) {
		out.Settings, about = append(out.Settings, key.String()), append(about, key)
	}
	for _, key := range class.Gateways {
		g, objects := t.served(key, p.Namespace)
		out.Gateways, about = append(out.Gateways, g), append(about, objects...)
	}
	out.About, out.Of = append(about, m.selecting(p.Namespace, labels)...), []Proxy{p}
	out.Problems = m.overridden(p.Namespace, labels)
	return out.Told()
}

// DescribeService tells what is about a Service; ok is false where there is none.
func (t *Translation) DescribeService(namespace, name string) (out Description, ok bool) {
	return t.describeService(namespace, func(s *model.Service) bool {
		return s.Key.Kind == model.KindService && s.Namespace == namespace && s.Name == name
	})
}

// DescribeHost tells what is about a host of a Service or a ServiceEntry, as proxies of a namespace have it: that
// namespace's own goes before others.
func (t *Translation) DescribeHost(namespace, host string) (out Description, ok bool) {
	named := func(s *model.Service) bool { return model.CanonicalHost(s.Hostname) == model.CanonicalHost(host) }
	if out, ok = t.describeService(namespace, func(s *model.Service) bool { return s.Namespace == namespace && named(s) }); ok {
		return out, true
	}
	return t.describeService(namespace, named)
}

// describeService tells what is about the first service that is meant.
func (t *Translation) describeService(namespace string, meant func(*model.Service) bool) (out Description, ok bool) {
	i := slices.IndexFunc(t.mesh.services, meant)
	if i < 0 {
		return out, false
	}
	svc := t.mesh.services[i]
	e, about := t.exposed(svc, nil)
	out.Services = []Exposed{e}
	for _, p := range t.Proxies {
		if len(svc.Selector) == 0 || p.Namespace != namespace || !model.HasLabels(p.of.Labels, svc.Selector) {
			continue
		}
		class := resolve.Classify(t.mesh.reader, p.of)
		var ports []uint32
		for _, in := range class.Inbound {
			if in.Service == svc.Key {
				ports = append(ports, in.TargetPort)
			}
		}
		for _, mode := range t.modes(&class, ports) {
			if !slices.Contains(out.MutualTLS, mode) {
				out.MutualTLS = append(out.MutualTLS, mode)
			}
		}
		for _, ap := range t.mesh.policiesOf(&class) {
			if !slices.Contains(out.Policies, ap.AppliedPolicy) {
				out.Policies, about = append(out.Policies, ap.AppliedPolicy), append(about, ap.key)
			}
		}
		out.Of, about = append(out.Of, p), append(about, t.mesh.selecting(p.Namespace, p.of.Labels)...)
	}
	out.About = about
	return out.Told(), true
}

// Made adds the problems that came up as the workloads' proxies were made, with what is named. They are those of files,
// which have all that a proxy needs. Of a running mesh not all is read here, and its control plane knows better.
func (d Description) Made() Description {
	for _, of := range d.Of {
		for _, p := range of.Problems {
			if slices.Contains(d.About, p.Object) {
				d.Problems = append(d.Problems, p)
			}
		}
	}
	return d.Told()
}

// Told writes the problems as lines, each once.
func (d Description) Told() Description {
	d.Said = nil
	for _, p := range d.Problems {
		d.Said = append(d.Said, p.String())
	}
	slices.Sort(d.Said)
	d.Said = slices.Compact(d.Said)
	return d
}

// modes gives how ports take mutual TLS; those that take it as all others do are left out.
func (t *Translation) modes(class *resolve.Class, ports []uint32) []PortMode {
	var out []PortMode
	for _, port := range ports {
		by := resolve.InboundMTLS(t.mesh.reader, class, port)
		mode := PortMode{Port: port, Mode: by.Mode.String()}
		if by.Object != nil {
			mode.Object = by.Object.Key.String()
		}
		if len(out) > 0 && out[0].Port == 0 && out[0].Mode == mode.Mode && out[0].Object == mode.Object {
			continue
		}
		out = append(out, mode)
	}
	return out
}

// exposed tells what is about a service. labels are those of the workload that is looked at, nil for none. It also gives
// the objects that it names.
func (t *Translation) exposed(svc *model.Service, labels map[string]string) (Exposed, []model.Key) {
	out := Exposed{Host: svc.Hostname, Object: svc.Key.String(), NotSeenBy: t.mesh.notSeenBy(svc)}
	about := []model.Key{svc.Key}
	for _, p := range svc.Ports {
		line := PortLine{Name: p.Name, Port: p.Port, Protocol: string(p.Protocol), TargetPort: p.TargetPort}
		if p.Protocol == model.ProtocolAuto {
			line.Protocol = "sniffed"
		}
		out.Ports = append(out.Ports, line)
	}
	var in *[]string
	if labels != nil {
		in = &[]string{}
	}
	for _, dr := range of[*networking.DestinationRule](t.mesh, model.KindDestinationRule) {
		if !model.HostCovers(model.ResolveHost(dr.spec.GetHost(), dr.Namespace, t.mesh.domain), model.CanonicalHost(svc.Hostname)) {
			continue
		}
		clients, ok := t.mesh.clientsOf(dr, svc)
		if !ok {
			continue
		}
		a := Applied{Object: dr.Key.String(), Clients: clients, Settings: settingsOf(dr.spec.GetTrafficPolicy())}
		for _, s := range dr.spec.GetSubsets() {
			if labels != nil && model.HasLabels(labels, s.GetLabels()) {
				a.Matching, *in = append(a.Matching, s.GetName()), append(*in, s.GetName())
			} else {
				a.Others = append(a.Others, s.GetName())
			}
		}
		out.DestinationRules, about = append(out.DestinationRules, a), append(about, dr.Key)
	}
	for _, o := range slices.Concat(t.mesh.ofKind(model.KindVirtualService), t.mesh.ofIngresses()) {
		spec, ok := o.Spec.(*networking.VirtualService)
		if !ok {
			continue
		}
		if r, here := t.routed(o, spec, svc.Hostname, in); here {
			out.VirtualServices, about = append(out.VirtualServices, r.RoutedHere), append(about, r.about...)
		}
	}
	return out, about
}

// ofIngresses gives the Gateways and VirtualServices that Ingresses are read as.
func (m *mesh) ofIngresses() []*model.Object {
	if len(m.ofKind(model.KindIngress)) == 0 {
		return nil
	}
	return slices.DeleteFunc(m.withoutIngresses(), func(o *model.Object) bool { return len(o.Sources) == 0 })
}

// settingsOf names the parts of a traffic policy.
func settingsOf(p *networking.TrafficPolicy) []string {
	var out []string
	if tls := p.GetTls(); tls != nil {
		out = append(out, "tls "+tls.GetMode().String())
	}
	if lb := p.GetLoadBalancer(); lb != nil {
		out = append(out, "load balancer")
	}
	if p.GetConnectionPool() != nil {
		out = append(out, "connection pool")
	}
	if p.GetOutlierDetection() != nil {
		out = append(out, "outlier detection")
	}
	if len(p.GetPortLevelSettings()) > 0 {
		out = append(out, fmt.Sprintf("%d ports with settings of their own", len(p.GetPortLevelSettings())))
	}
	return out
}
