package store

import (
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Snapshot is the whole configuration at one commit. It never changes, so any number of
// goroutines may read it; it implements resolve.Reader. Successive snapshots share what did
// not change.
type Snapshot struct {
	mesh   *meshconfig.MeshConfig
	domain string

	objects    pmap[model.Key, *model.Object]
	byKind     pmap[nsKind, []*model.Object] // model.Older first
	gateways   []*model.Object               // model.Older first
	byHost     pmap[string, *model.Service]
	nsServices pmap[string, []*model.Service] // of a namespace, by hostname
	endpoints  pmap[model.Key, []model.Endpoint]
	// DestinationRules by the namespace they live in: those about one host, those about all hosts of
	// a suffix, and those of either that select workloads.
	exactRules pmap[nsHost, []*model.Object] // model.Older first
	wildRules  pmap[string, []wildRule]      // the longest suffix first, then model.Older first
	podRules   pmap[string, []*model.Object] // model.Older first
	exported   pmap[string, []*model.Object] // DestinationRules by namespaces that see them by name

	services        visible[*model.Service]
	virtualServices visible[*model.Object]
}

// nsKind names the objects of one kind in one namespace.
type nsKind struct {
	kind      model.Kind
	namespace string
}

// Mesh gives the defaulted mesh configuration, never nil.
func (s *Snapshot) Mesh() *meshconfig.MeshConfig { return s.mesh }

// Domain gives the cluster's DNS suffix, e.g. cluster.local.
func (s *Snapshot) Domain() string { return s.domain }

// Object gives the object with the key, or nil.
func (s *Snapshot) Object(key model.Key) *model.Object { return s.objects.row(key) }

// Namespace gives the Namespace object, or nil.
func (s *Snapshot) Namespace(name string) *model.Object {
	return s.objects.row(model.Key{Kind: model.KindNamespace, Name: name})
}

// Pod gives a Pod object, or nil.
func (s *Snapshot) Pod(namespace, name string) *model.Object {
	return s.objects.row(model.Key{Kind: model.KindPod, Namespace: namespace, Name: name})
}

// Services gives what is visible from a namespace, sorted by hostname.
func (s *Snapshot) Services(namespace string) []*model.Service {
	return s.services.from(namespace)
}

// AllServices gives every service, whoever sees it, sorted by hostname.
func (s *Snapshot) AllServices() []*model.Service {
	out := make([]*model.Service, 0, s.byHost.len())
	s.byHost.all(func(_ string, svc *model.Service) { out = append(out, svc) })
	slices.SortFunc(out, func(a, b *model.Service) int { return strings.Compare(a.Hostname, b.Hostname) })
	return out
}

// Service gives the service of a hostname as a namespace sees it, or nil.
func (s *Snapshot) Service(namespace, hostname string) *model.Service {
	svc := s.byHost.row(hostname)
	if svc == nil || !scopeOf(svc.ExportTo, svc.Namespace).includes(namespace) {
		return nil
	}
	return svc
}

// ServicesSelecting gives the services of a namespace whose selector matches the labels, sorted
// by hostname.
func (s *Snapshot) ServicesSelecting(namespace string, labels map[string]string) []*model.Service {
	var out []*model.Service
	for _, svc := range s.nsServices.row(namespace) {
		if matches(svc.Selector, labels) {
			out = append(out, svc)
		}
	}
	return out
}

// Endpoints gives a service's endpoints of every health, sorted by port, address.
func (s *Snapshot) Endpoints(service model.Key) []model.Endpoint { return s.endpoints.row(service) }

// VirtualServices gives what is exported to a namespace, model.Older first.
func (s *Snapshot) VirtualServices(namespace string) []*model.Object {
	return s.virtualServices.from(namespace)
}

// DestinationRules gives the rules that live in configNamespace, are exported to
// clientNamespace and match the hostname, the most specific host first, then model.Older first.
func (s *Snapshot) DestinationRules(configNamespace, clientNamespace, hostname string) []*model.Object {
	var out []*model.Object
	add := func(o *model.Object) {
		if ruleScope(o, s.mesh).includes(clientNamespace) {
			out = append(out, o)
		}
	}
	for _, o := range s.exactRules.row(nsHost{configNamespace, hostname}) {
		add(o)
	}
	for _, w := range s.wildRules.row(configNamespace) {
		if strings.HasSuffix(hostname, w.suffix) {
			add(w.rule)
		}
	}
	return out
}

// WorkloadDestinationRules gives a namespace's DestinationRules that have a workloadSelector,
// model.Older first.
func (s *Snapshot) WorkloadDestinationRules(namespace string) []*model.Object {
	return s.podRules.row(namespace)
}

// Gateways gives all Gateway objects, model.Older first.
func (s *Snapshot) Gateways() []*model.Object { return s.gateways }

// Sidecars gives a namespace's Sidecar objects, model.Older first.
func (s *Snapshot) Sidecars(namespace string) []*model.Object {
	return s.byKind.row(nsKind{model.KindSidecar, namespace})
}

// PeerAuthentications gives a namespace's objects, model.Older first.
func (s *Snapshot) PeerAuthentications(namespace string) []*model.Object {
	return s.byKind.row(nsKind{model.KindPeerAuthentication, namespace})
}

// nsHost is a host as the objects of a namespace name it.
type nsHost struct{ namespace, host string }

// wildRule is a rule for hosts that end in suffix, e.g. ".example.com" of "*.example.com".
type wildRule struct {
	suffix string
	rule   *model.Object
}

// fullHost completes a short name with the namespace of the object that names it: only a name
// without dots is short.
func fullHost(host, namespace, domain string) string {
	if host == "" || strings.ContainsAny(host, ".*") {
		return host
	}
	return host + "." + namespace + ".svc." + domain
}

func matches(selector, labels map[string]string) bool {
	if len(selector) == 0 {
		return false
	}
	for k, v := range selector {
		if got, ok := labels[k]; !ok || got != v {
			return false
		}
	}
	return true
}
