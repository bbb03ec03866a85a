// Package mesh makes up a mesh to measure with: services, pods with labels of their own as
// Kubernetes gives them, routes and rules, written as the YAML that the file source reads. The
// same Spec gives the same bytes. What changes later is written into a second directory, one
// object group to a file, so that a server reads again no more than what changed.
package mesh

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// Spec is the size and shape of a mesh.
type Spec struct {
	Seed uint64 `json:"seed"`
	// Services are spread over Namespaces; each has Endpoints pods, spread over Zones.
	Services   int `json:"services"`
	Endpoints  int `json:"endpoints"`
	Namespaces int `json:"namespaces"`
	Zones      int `json:"zones"`
	// VirtualServices and DestinationRules are for services that have both as far as possible.
	VirtualServices  int `json:"virtualServices"`
	DestinationRules int `json:"destinationRules"`
	// Scoped gives each namespace a Sidecar, so that its proxies see their own namespace only.
	Scoped bool `json:"scoped"`
	// Gateways come on top of the services, if there are any.
	Gateways Gateways `json:"gateways,omitzero"`
	// Breadth is what there is of further kinds.
	Breadth Breadth `json:"breadth,omitzero"`
}

// Default is the mesh that the project's goals speak of.
func Default() Spec {
	return Spec{
		Seed: 1, Services: 1000, Endpoints: 10, Namespaces: 100, Zones: 3,
		VirtualServices: 200, DestinationRules: 200,
	}
}

const (
	// headlessEvery and failoverEvery tell how many of the services are headless and how many of
	// the rules fail over between localities.
	headlessEvery, failoverEvery = 20, 4
	// configured is how many objects of fixed reach come first: see Reach.
	configured = 3
	// fixed is how many services are in ns-0 in any mesh: those of the objects of fixed reach, and
	// one without objects.
	fixed = configured + 1
	// HTTPPort is the port of all services but the headless ones, so that one route configuration
	// holds all of them, as in a mesh of services that are made alike.
	HTTPPort = 8080
	tcpPort  = 9000
)

// Reach is who is concerned by a VirtualService or DestinationRule.
type Reach int

// The objects of each kind with these indexes have these reaches; all others reach everyone.
const (
	ReachNamespace Reach = iota // the proxies of one namespace, ns-0
	ReachTenth                  // those of a tenth of the namespaces
	ReachAll
)

// Mesh is a synthetic mesh in its present state. Its methods are for one goroutine.
type Mesh struct {
	spec  Spec
	base  string // directory of what is written once
	hot   string // directory of what changed since
	pods  []pod
	inNS  [][]int // services by namespace
	hosts []int   // the services with a DestinationRule or VirtualService, by its index
	named []int   // the services that gateways' routes lead to
	edits map[string]int
	added int // Services
}

// pod is the state of one pod.
type pod struct {
	service, ordinal int
	hash             string // of the ReplicaSet
	suffix           string // of the name
	zone             int
	address          int // how often its address changed
	notes            int // how often its annotations and status changed
	rolled           int // how often it was replaced by a new pod
}

// New makes a mesh that is written below dir.
func New(spec Spec, dir string) (*Mesh, error) {
	if err := spec.check(); err != nil {
		return nil, err
	}
	m := &Mesh{
		spec: spec, base: filepath.Join(dir, "base"), hot: filepath.Join(dir, "hot"), edits: map[string]int{},
	}
	m.inNS = make([][]int, spec.Namespaces)
	random := rand.New(rand.NewPCG(spec.Seed, 0))
	for s := range spec.Services {
		m.inNS[m.namespace(s)] = append(m.inNS[m.namespace(s)], s)
		hashes := [2]string{word(random, 10), word(random, 10)}
		for o := range spec.Endpoints {
			m.pods = append(m.pods, pod{
				service: s, ordinal: o, hash: hashes[m.version(o)-1], suffix: word(random, 5), zone: random.IntN(spec.Zones),
			})
		}
	}
	m.chooseHosts(random)
	return m, nil
}

func (s Spec) check() error {
	for _, n := range []struct {
		name     string
		got, min int
	}{
		{"endpoints", s.Endpoints, 1},
		{"namespaces", s.Namespaces, 1},
		{"zones", s.Zones, 1},
		{"services", s.Services, s.fewest()},
		{"VirtualServices", s.VirtualServices, configured},
		{"DestinationRules", s.DestinationRules, configured},
	} {
		if n.got < n.min {
			return fmt.Errorf("synthetic mesh: %d %s, want at least %d", n.got, n.name, n.min)
		}
	}
	if err := errors.Join(s.Gateways.check(), s.Breadth.check(s.Namespaces)); err != nil {
		return err
	}
	if most := s.Services - s.Services/headlessEvery; max(s.VirtualServices, s.DestinationRules) > most {
		return fmt.Errorf("synthetic mesh: there are %d services that are not headless, too few for %d VirtualServices and %d DestinationRules",
			most, s.VirtualServices, s.DestinationRules)
	}
	return nil
}

// fewest is how many services there have to be: ns-0 needs the fixed ones and each other namespace
// one, or as many where proxies see their own namespace only.
func (s Spec) fewest() int {
	if s.Scoped {
		return fixed * s.Namespaces
	}
	return s.Namespaces + fixed - 1
}

// chooseHosts takes services of ns-0 for the objects of fixed reach and any for the others.
// Gateways lead to every second one of those that have no object of fixed reach.
func (m *Mesh) chooseHosts(random *rand.Rand) {
	for i := range configured {
		m.hosts = append(m.hosts, m.Fixed(i))
	}
	for _, s := range random.Perm(m.spec.Services) {
		if !m.headless(s) && !slices.Contains(m.hosts[:configured], s) {
			m.hosts = append(m.hosts, s)
		}
	}
	for i := configured; i < len(m.hosts); i += 2 {
		if m.hosts[i] != m.Free() {
			m.named = append(m.named, m.hosts[i])
		}
	}
}

// word gives letters and digits as Kubernetes chooses them for generated names.
func word(random *rand.Rand, n int) string {
	const alphabet = "bcdfghjklmnpqrstvwxz2456789"
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[random.IntN(len(alphabet))]
	}
	return string(b)
}

// Dirs are the directories for the server, in the order in which a later one wins.
func (m *Mesh) Dirs() []string { return []string{m.base, m.hot} }

// Spec gives the mesh's size.
func (m *Mesh) Spec() Spec { return m.spec }

// Write writes the whole mesh, one file for each namespace, into empty directories.
func (m *Mesh) Write() error {
	for _, dir := range m.Dirs() {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	for ns, text := range m.Documents() {
		path := filepath.Join(m.base, Namespace(ns)+".yaml")
		if err := os.WriteFile(path, text, 0o644); err != nil {
			return err
		}
	}
	for g := range m.spec.Gateways.Count {
		path := filepath.Join(m.base, GatewayNamespace(g)+".yaml")
		if err := os.WriteFile(path, m.renderGateway(g), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// Documents gives the YAML of each namespace, without gateways.
func (m *Mesh) Documents() [][]byte {
	var out [][]byte
	for ns := range m.spec.Namespaces {
		out = append(out, m.renderNamespace(ns))
	}
	return out
}

// Namespace gives the name of one of them.
func Namespace(n int) string { return fmt.Sprintf("ns-%d", n) }

// Fixed gives the services that are in ns-0 in any mesh: first those of the objects of fixed reach.
func (m *Mesh) Fixed(i int) int {
	if fixed*m.spec.Namespaces <= m.spec.Services || i == 0 {
		return i * m.spec.Namespaces
	}
	return m.spec.Services - i
}

// Free gives the service of ns-0 that no object of fixed reach is for, and no gateway leads to.
func (m *Mesh) Free() int { return m.Fixed(configured) }

// namespace numbers that of a service.
func (m *Mesh) namespace(service int) int {
	for i := range fixed {
		if m.Fixed(i) == service {
			return 0
		}
	}
	return service % m.spec.Namespaces
}

func (m *Mesh) namespaceOf(service int) string { return Namespace(m.namespace(service)) }

// headless services are one of each twenty, spread over the namespaces, and never one that an
// object of fixed reach is for.
func (m *Mesh) headless(service int) bool {
	n := service%m.spec.Namespaces + service/m.spec.Namespaces
	return n%headlessEvery == headlessEvery-1 && m.namespace(service) != 0
}

// version of a pod's Deployment: six pods of ten are v1.
func (m *Mesh) version(ordinal int) int {
	if ordinal*10 < 6*m.spec.Endpoints {
		return 1
	}
	return 2
}

// Host gives a service's name in DNS.
func (m *Mesh) Host(service int) string {
	return fmt.Sprintf("svc-%d.%s.svc.cluster.local", service, m.namespaceOf(service))
}

// Cluster gives the name of the Envoy cluster, and of the load assignment, of a service.
func (m *Mesh) Cluster(service int) string {
	port := HTTPPort
	if m.headless(service) {
		port = tcpPort
	}
	return fmt.Sprintf("outbound|%d||%s", port, m.Host(service))
}

// Assigned tells whether a service has load assignments: the endpoints of a headless one are in
// listeners, since its clients choose a pod themselves.
func (m *Mesh) Assigned(service int) bool { return !m.headless(service) }

// ConfiguredService tells which service a VirtualService or DestinationRule is for.
func (m *Mesh) ConfiguredService(i int) int { return m.hosts[i] }

// Sees tells whether the proxies of a namespace get what belongs to a service at all.
func (m *Mesh) Sees(ns string, service int) bool {
	return !m.spec.Scoped || ns == m.namespaceOf(service) || isGateway(ns)
}

// Routed tells whether the proxies of a namespace get what follows from the VirtualService of a
// reach: no gateway is bound to one.
func (m *Mesh) Routed(ns string, r Reach) bool { return !isGateway(ns) && m.Concerned(ns, r) }

// Concerned tells whether the proxies of a namespace see an object of a reach.
func (m *Mesh) Concerned(ns string, r Reach) bool {
	if !m.Sees(ns, m.hosts[r]) {
		return false
	}
	switch r {
	case ReachNamespace:
		return ns == m.namespaceOf(m.hosts[r])
	case ReachTenth:
		return slices.Contains(m.tenth(), ns)
	default:
		return true
	}
}

// tenth are a tenth of the namespaces, at least one.
func (m *Mesh) tenth() []string {
	var out []string
	for ns := 0; ns < m.spec.Namespaces; ns += 10 {
		out = append(out, Namespace(ns))
	}
	return out
}

// Workload is a pod from the outside: what its proxy says of itself.
type Workload struct {
	Name, Namespace, ServiceAccount string
	Address                         netip.Addr
	Labels                          map[string]string
	Region, Zone                    string
	Router                          bool // a gateway, else a sidecar
}

// Workload gives pod i: first one pod of each service, then the next of each, and so on.
func (m *Mesh) Workload(i int) Workload {
	return m.workload(m.podOf(i))
}

func (m *Mesh) podOf(i int) *pod {
	service := i % m.spec.Services
	return &m.pods[m.index(service, i/m.spec.Services%m.spec.Endpoints)]
}

// Twin gives a pod that differs from pod i in its name and address only, if there is one.
func (m *Mesh) Twin(i int) (Workload, bool) {
	p := m.podOf(i)
	if m.headless(p.service) { // the pods of a StatefulSet have labels of their own
		return Workload{}, false
	}
	for o := range m.spec.Endpoints {
		q := &m.pods[m.index(p.service, o)]
		if q != p && q.zone == p.zone && m.version(o) == m.version(p.ordinal) {
			return m.workload(q), true
		}
	}
	return Workload{}, false
}

func (m *Mesh) workload(p *pod) Workload {
	return Workload{
		Name: m.podName(p, p.rolled), Namespace: m.namespaceOf(p.service), ServiceAccount: fmt.Sprintf("svc-%d", p.service),
		Address: m.podAddress(p, p.rolled), Labels: m.podLabels(p, p.rolled), Region: region, Zone: zone(p.zone),
	}
}

// Probe gives a service of a namespace whose load assignment shows a change.
func (m *Mesh) Probe(namespace int) int {
	services := m.inNS[namespace]
	return services[max(0, slices.IndexFunc(services, m.Assigned))]
}

func (m *Mesh) index(service, ordinal int) int { return service*m.spec.Endpoints + ordinal }
