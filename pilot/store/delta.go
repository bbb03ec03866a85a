package store

import (
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Namespaces is a set of namespaces that may hold all.
type Namespaces struct {
	All   bool
	names map[string]struct{}
}

// Has tells whether a namespace is in the set.
func (n *Namespaces) Has(namespace string) bool {
	if n == nil {
		return false
	}
	_, ok := n.names[namespace]
	return n.All || ok
}

func (n *Namespaces) add(names ...string) {
	if n.names == nil {
		n.names = map[string]struct{}{}
	}
	for _, name := range names {
		n.names[name] = struct{}{}
	}
}

func (n *Namespaces) addScope(s scope) {
	n.All = n.All || s.all
	n.add(s.namespaces...)
}

// Delta tells which rows of a snapshot may differ from a former one's, and for whom. What it
// does not name is the same for every reader.
type Delta struct {
	// All tells that everything may differ; the rest is empty then.
	All bool
	// Lists are the namespaces that see other lists of services or VirtualServices, or of whose
	// headless services the pods are at other addresses.
	Lists Namespaces
	// Own are the namespaces to which other hosts may be Particular.
	Own Namespaces
	// Hosts are the services about which a row differs (itself, its DestinationRules, its
	// VirtualService, how its workloads take traffic), with the namespaces of the readers.
	Hosts map[string]*Namespaces
	// Endpoints are the services whose endpoints differ, by hostname.
	Endpoints map[string]model.Key
	// Classes are the namespaces whose proxies may be of another class, Routers whether any
	// router may.
	Classes Namespaces
	Routers bool
	// Sidecars are the Sidecar objects that differ.
	Sidecars map[model.Key]struct{}
	// Inbound are the namespaces whose workloads may have to take other traffic.
	Inbound Namespaces
	// Pods are those that differ; each decides about its own proxy's class.
	Pods map[model.Key]struct{}
}

// DeltaSince turns the objects of a commit, or of several in a row, into rows. old may be nil.
func (s *Snapshot) DeltaSince(old *Snapshot, c Commit) Delta {
	d := Delta{
		All: old == nil || c.Full, Hosts: map[string]*Namespaces{}, Endpoints: map[string]model.Key{},
		Sidecars: map[model.Key]struct{}{}, Pods: map[model.Key]struct{}{},
	}
	if d.All {
		return d
	}
	b := deltaBuilder{Delta: &d, old: old, next: s}
	for key := range c.Endpoints {
		b.endpoints(key)
	}
	for key := range c.Changed {
		b.object(key)
		if d.All {
			return Delta{All: true}
		}
	}
	return d
}

type deltaBuilder struct {
	*Delta
	old, next *Snapshot
}

// host marks a host for the readers in some namespaces.
func (b *deltaBuilder) host(name string, readers scope) {
	if b.Hosts[name] == nil {
		b.Hosts[name] = &Namespaces{}
	}
	b.Hosts[name].addScope(readers)
}

// hosts marks every host that a pattern covers.
func (b *deltaBuilder) hosts(pattern string, readers scope) {
	suffix, wild := strings.CutPrefix(pattern, "*")
	if !wild {
		b.host(pattern, readers)
		return
	}
	for _, s := range []*Snapshot{b.old, b.next} {
		s.byHost.all(func(name string, _ *model.Service) {
			if strings.HasSuffix(name, suffix) {
				b.host(name, readers)
			}
		})
	}
}

func (b *deltaBuilder) object(key model.Key) {
	switch key.Kind {
	case model.KindPod:
		b.Pods[key] = struct{}{}
	case model.KindService:
		b.service(key)
	case model.KindNamespace, model.KindEndpointSlice:
	case model.KindSidecar:
		b.Sidecars[key] = struct{}{}
		if key.Namespace == b.next.mesh.GetRootNamespace() {
			b.Classes.All = true
		}
		b.Classes.add(key.Namespace)
	case model.KindGateway:
		b.Routers = true
	case model.KindPeerAuthentication:
		b.peerAuthentication(key)
	case model.KindVirtualService:
		for _, s := range []*Snapshot{b.old, b.next} {
			if o := s.Object(key); o != nil {
				b.virtualService(s, o)
			}
		}
	case model.KindDestinationRule:
		for _, s := range []*Snapshot{b.old, b.next} {
			if o := s.Object(key); o != nil {
				b.destinationRule(s, o)
			}
		}
	default:
		b.All = true
	}
}

// hostname gives the name of a Kubernetes Service.
func (b *deltaBuilder) hostname(key model.Key) string {
	return key.Name + "." + key.Namespace + ".svc." + b.next.domain
}

func (b *deltaBuilder) service(key model.Key) {
	b.Classes.add(key.Namespace)
	b.Own.add(key.Namespace)
	host := b.hostname(key)
	for _, s := range []*Snapshot{b.old, b.next} {
		if svc := s.byHost.row(host); svc != nil {
			readers := scopeOf(svc.ExportTo, svc.Namespace)
			b.Own.add(readers.namespaces...)
			b.Lists.addScope(readers)
			b.host(host, readers)
		}
	}
}

// endpoints marks a service. Where a headless service's pods are decides about listeners too, and
// what a named port leads to about its workload.
func (b *deltaBuilder) endpoints(key model.Key) {
	host := b.hostname(key)
	b.Endpoints[host] = key
	svc := b.next.byHost.row(host)
	if svc == nil {
		return
	}
	if svc.Headless {
		readers := scopeOf(svc.ExportTo, svc.Namespace)
		b.Lists.addScope(readers)
		b.host(host, readers)
	}
	for i := range svc.Ports {
		if svc.Ports[i].TargetPort == 0 {
			b.Classes.add(svc.Namespace)
		}
	}
}

func (b *deltaBuilder) peerAuthentication(key model.Key) {
	if key.Namespace == b.next.mesh.GetRootNamespace() {
		b.All = true
		return
	}
	b.Classes.add(key.Namespace)
	b.Inbound.add(key.Namespace)
	for _, svc := range b.next.nsServices.row(key.Namespace) {
		b.host(svc.Hostname, scope{all: true})
		b.Endpoints[svc.Hostname] = svc.Key
	}
}

func (b *deltaBuilder) virtualService(s *Snapshot, o *model.Object) {
	readers := virtualServiceScope(o, s.mesh)
	b.Own.add(readers.namespaces...)
	b.Lists.addScope(readers)
	spec := o.Spec.(*networking.VirtualService)
	for _, host := range spec.GetHosts() {
		b.hosts(fullHost(host, o.Namespace, s.domain), readers)
	}
	if hasSourceLabels(spec) {
		b.Classes.addScope(readers)
	}
}

func hasSourceLabels(spec *networking.VirtualService) bool {
	for _, r := range spec.GetHttp() {
		for _, m := range r.GetMatch() {
			if len(m.GetSourceLabels()) > 0 {
				return true
			}
		}
	}
	for _, r := range spec.GetTcp() {
		for _, m := range r.GetMatch() {
			if len(m.GetSourceLabels()) > 0 {
				return true
			}
		}
	}
	for _, r := range spec.GetTls() {
		for _, m := range r.GetMatch() {
			if len(m.GetSourceLabels()) > 0 {
				return true
			}
		}
	}
	return false
}

// destinationRule marks the services that a rule is for: for clients in its own namespace any,
// for others those of its own namespace, from the root namespace all.
func (b *deltaBuilder) destinationRule(s *Snapshot, o *model.Object) {
	spec := o.Spec.(*networking.DestinationRule)
	if spec.GetWorkloadSelector() != nil {
		b.Classes.add(o.Namespace)
	}
	readers := ruleScope(o, s.mesh)
	b.Own.add(o.Namespace)
	b.Own.add(readers.namespaces...)
	b.hosts(fullHost(spec.GetHost(), o.Namespace, s.domain), readers)
}
