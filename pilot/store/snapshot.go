package store

import (
	"cmp"
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Snapshot is the whole configuration at one commit. It never changes, so any number of
// goroutines may read it. Successive snapshots share what did not change.
type Snapshot struct {
	mesh   *meshconfig.MeshConfig
	domain string
	surroundings

	objects   map[model.Kind]rows[*model.Object]
	indexes   map[string]found[*model.Object]
	services  foundServices
	endpoints rows[[]model.Endpoint] // by namespace and hostname
	longPeers rows[bool]             // whether some of them have LongPeer
	own       rows[[]Row]            // by namespace
	podsAt    rows[[]model.Key]      // by cluster and address
	gateways  rows[model.NetworkGateways]
	networks  placements

	gatewayNames []string
}

// surroundings are what the control plane itself is told, which lasts as long as the process.
type surroundings struct {
	// cluster is how proxies name the control plane's own.
	cluster string
	// remote are the names of the other clusters that there are sources of.
	remote []string
	// environment gives the control plane's variables; nil where they are not known.
	environment func(name string) string
}

// told takes it from the options.
func (s *surroundings) told(opts Options) {
	s.environment, s.cluster = opts.Environment, cmp.Or(opts.Cluster, s.cluster)
	for _, source := range opts.Sources {
		if source.Cluster != "" {
			s.remote = append(s.remote, source.Cluster)
		}
	}
}

// Mesh gives the defaulted mesh configuration, never nil.
func (s *Snapshot) Mesh() *meshconfig.MeshConfig { return s.mesh }

// Domain gives the cluster's DNS suffix, e.g. cluster.local.
func (s *Snapshot) Domain() string { return s.domain }

// AllServices gives every service, whoever sees it, sorted by hostname.
func (s *Snapshot) AllServices() []*model.Service {
	var out []*model.Service
	s.services.merged.data.all(func(_ Place, services []*model.Service) { out = append(out, services...) })
	slices.SortFunc(out, compareHostnames)
	return out
}

// Services gives what is visible from a namespace, sorted by hostname.
func (s *Snapshot) Services(namespace string) []*model.Service {
	return s.Reader(nil).Services(namespace)
}

// Endpoints gives a service's endpoints of every health, sorted by port, address.
func (s *Snapshot) Endpoints(service model.ServiceID) []model.Endpoint {
	return s.Reader(nil).Endpoints(service)
}

// ProxyConfigs gives the ProxyConfig objects of all namespaces, model.Older first. Injection reads them, and
// nothing else does.
func (s *Snapshot) ProxyConfigs() []*model.Object {
	return s.Reader(nil).List(tableProxyConfigs, Place{})
}

// Has tells whether there is an object of a kind that is kept by name, or a service of a Service or
// ServiceEntry.
func (s *Snapshot) Has(k model.Key) bool {
	if k.Kind == model.KindService || k.Kind == model.KindServiceEntry {
		there := s.services.inNamespace.lists.data.row(Place{Namespace: k.Namespace})
		return slices.ContainsFunc(there, func(svc *model.Service) bool { return svc.Key == k })
	}
	return s.Reader(nil).Object(k) != nil
}

// Reader gives a reader of the snapshot that tells record which rows it reads; nil tells nobody.
func (s *Snapshot) Reader(record func(Row)) Reader {
	if record == nil {
		record = func(Row) {}
	}
	return Reader{s, record}
}
