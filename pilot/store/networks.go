package store

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ingress"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// networks are the gateways between the networks of the mesh, and what says in which of them workloads are.
type networks struct {
	spec *meshconfig.MeshNetworks // nil for none
	placements
	named map[string][]model.NetworkGateway // by the hostname of the Service whose addresses they have

	labelled keySet // Services with model.LabelNetwork
	dirty    bool   // the gateways are to be found again
	moved    bool   // they are others than at the last commit
	gateways model.NetworkGateways
	names    []string                      // of gateways, sorted
	rows     *table[model.NetworkGateways] // one row
}

// placements say in which network a workload is that does not say so itself.
type placements struct {
	root     string            // the label of the root namespace
	clusters map[string]string // networks of whole clusters, "" being the control plane's own
	subnets  []subnet          // the widest first
}

type subnet struct {
	prefix  netip.Prefix
	network string
}

// placement is that of the workloads of one cluster.
type placement struct {
	network string   // of all; "" for what the subnets say
	subnets []subnet // the widest first
}

func newNetworks(changed *journal) *networks {
	n := &networks{labelled: keySet{}}
	n.clear(changed)
	return n
}

// clear empties the table.
func (n *networks) clear(changed *journal) {
	n.rows = newTable[model.NetworkGateways]("gateways of networks", changed, nil)
}

// of gives the network of a workload that has an address and perhaps labels.
func (p *placement) of(labels map[string]string, address string) string {
	if own := labels[model.LabelNetwork]; own != "" || len(p.subnets) == 0 {
		return cmp.Or(own, p.network)
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return ""
	}
	for _, s := range p.subnets {
		if s.prefix.Contains(ip.Unmap()) {
			return s.network
		}
	}
	return ""
}

// in gives the placement of a cluster's workloads: the root namespace says more than the mesh's networks, and of these
// those of whole clusters.
func (p *placements) in(cluster string) placement {
	if all := cmp.Or(p.root, p.clusters[cluster]); all != "" {
		return placement{network: all}
	}
	return placement{subnets: p.subnets}
}

func (s *state) placement(cluster string) placement { return s.networks.in(cluster) }

// putNetworks reads the networks of the mesh. All endpoints may be in others than before.
func (s *state) putNetworks(o *model.Object) {
	n := s.networks
	n.spec, n.clusters, n.subnets, n.named = nil, map[string]string{}, nil, map[string][]model.NetworkGateway{}
	if o != nil {
		n.spec = o.Spec.(*meshconfig.MeshNetworks)
	}
	for _, name := range slices.Sorted(maps.Keys(n.spec.GetNetworks())) {
		s.readNetwork(name, n.spec.GetNetworks()[name])
	}
	slices.SortStableFunc(n.subnets, func(a, b subnet) int { return cmp.Compare(a.prefix.Bits(), b.prefix.Bits()) })
	n.dirty, s.full = true, true
}

// readNetwork reads one of them. Of two that claim a cluster the first by name has it.
func (s *state) readNetwork(name string, network *meshconfig.Network) {
	n := s.networks
	for _, e := range network.GetEndpoints() {
		if prefix, err := model.ParseSubnet(e.GetFromCidr()); err == nil {
			n.subnets = append(n.subnets, subnet{prefix, name})
		}
		registry := e.GetFromRegistry()
		if registry == "" {
			continue
		}
		cluster := registry
		if registry == s.cluster {
			cluster = ""
		}
		if _, taken := n.clusters[cluster]; !taken {
			n.clusters[cluster] = name
		}
		for _, g := range network.GetGateways() {
			if host := g.GetRegistryServiceName(); host != "" {
				n.named[host] = append(n.named[host], model.NetworkGateway{Network: name, Cluster: registry, Port: g.GetPort()})
			}
		}
	}
}

// noteNetworkGateway notes that a Service is, or was, a gateway into a network.
func (s *state) noteNetworkGateway(key model.Key, next *model.Object) {
	n := s.networks
	_, was := n.labelled[key]
	is := key.Kind == model.KindService && next != nil && next.Labels[model.LabelNetwork] != ""
	switch {
	case is:
		n.labelled.add(key)
	case was:
		delete(n.labelled, key)
	}
	n.dirty = n.dirty || was || is || len(n.named) > 0 && n.named[serviceHost(key.Namespace, key.Name, s.Domain)] != nil
}

// findGateways finds the gateways into networks, where they may be others. With the first of them, and without the
// last, all proxies see endpoints otherwise.
func (s *state) findGateways() {
	n := s.networks
	n.root = s.rootNetwork()
	if !n.dirty {
		return
	}
	n.dirty = false
	var next model.NetworkGateways
	for name, network := range n.spec.GetNetworks() {
		for _, g := range network.GetGateways() {
			if g.GetAddress() != "" {
				next = append(next, model.NetworkGateway{Network: name, Address: g.GetAddress(), Port: g.GetPort()})
			}
		}
	}
	for key := range n.labelled {
		o := s.object(key)
		next = append(next, s.gatewaysOf(o, []model.NetworkGateway{{Network: o.Labels[model.LabelNetwork], Port: gatewayPort(o)}})...)
	}
	for host, gateways := range n.named {
		next = append(next, s.namedGateways(host, gateways)...)
	}
	next = s.resolveGateways(next)
	slices.SortFunc(next, model.CompareGateways)
	next = slices.Compact(next)
	if slices.Equal(n.gateways, next) {
		return
	}
	s.full = s.full || (len(n.gateways) == 0) != (len(next) == 0)
	n.gateways, n.moved = next, true
}

// resolveGateways puts addresses in the places of names, and notes those. A name of which none is known is left out.
func (s *state) resolveGateways(gateways []model.NetworkGateway) (out model.NetworkGateways) {
	var names []string
	for _, g := range gateways {
		switch model.KindOfAddress(g.Address) {
		case model.AddressIP:
			out = append(out, g)
		case model.AddressName:
			key := model.ResolvedNameKey(g.Address)
			names = append(names, key.Name)
			if o := s.object(key); o != nil {
				for _, g.Address = range o.Spec.(*model.ResolvedName).Addresses {
					out = append(out, g)
				}
			}
		}
	}
	slices.Sort(names)
	if names = slices.Compact(names); !slices.Equal(names, s.networks.names) {
		s.networks.names = names
		s.changed.add(networksKey()) // whoever asks the DNS is to know
	}
	return out
}

func networksKey() model.Key {
	return model.Key{Kind: model.KindMeshNetworks, Namespace: model.RootNamespace, Name: model.MeshConfigName}
}

// listGateways puts the gateways into their table.
func (s *state) listGateways(all bool) {
	n := s.networks
	if len(n.gateways) == 0 || !all && !n.moved {
		n.moved = false
		return
	}
	n.moved = false
	n.rows.put(Place{}, n.gateways)
	s.changed.add(networksKey())
}

// rootNetwork is the label of the root namespace.
func (s *state) rootNetwork() string {
	root := s.object(model.Key{Kind: model.KindNamespace, Name: s.Mesh.GetRootNamespace()})
	if root == nil {
		return ""
	}
	return root.Labels[model.LabelNetwork]
}

// namedGateways gives those of a Service that the mesh's networks name. A label of its own says more.
func (s *state) namedGateways(host string, gateways []model.NetworkGateway) (out []model.NetworkGateway) {
	place, ofCluster := strings.CutSuffix(host, ".svc."+s.Domain)
	name, namespace, _ := strings.Cut(place, ".")
	if !ofCluster {
		return nil
	}
	for _, g := range gateways {
		cluster := g.Cluster
		if cluster == s.cluster {
			cluster = ""
		}
		o := s.object(model.Key{Kind: model.KindService, Namespace: namespace, Name: name, Cluster: cluster})
		if o != nil && o.Labels[model.LabelNetwork] == "" {
			out = append(out, s.gatewaysOf(o, []model.NetworkGateway{g})...)
		}
	}
	return out
}

// gatewaysOf gives gateways at each of the addresses by which a Service is reached from outside.
func (s *state) gatewaysOf(o *model.Object, gateways []model.NetworkGateway) (out []model.NetworkGateway) {
	for _, address := range gatewayAddresses(o) {
		for _, g := range gateways {
			g.Cluster, g.Address = cmp.Or(o.Cluster, s.cluster), address
			out = append(out, g)
		}
	}
	return out
}

// gatewayAddresses are those by which a Service is reached from outside.
func gatewayAddresses(o *model.Object) []string {
	svc := o.Spec.(*corev1.Service)
	if svc.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	var out []string
	for _, at := range ingress.OfService(svc) {
		out = append(out, model.CanonicalIP(cmp.Or(at.IP, at.Hostname)))
	}
	return out
}

// gatewayPort is the port by which a Service takes what comes from other networks.
func gatewayPort(o *model.Object) uint32 {
	if port, err := strconv.ParseUint(o.Labels[model.LabelGatewayPort], 10, 16); err == nil && port > 0 {
		return uint32(port)
	}
	return model.DefaultGatewayPort
}

// compareUnreached orders endpoints without an address, which are told apart by what they are.
func compareUnreached(a, b *model.Endpoint) int {
	if a.Address != "" {
		return 0
	}
	return cmp.Or(strings.Compare(a.Network, b.Network), strings.Compare(a.Pod, b.Pod), strings.Compare(a.Workload, b.Workload))
}

// SeveralNetworks tells whether there is any gateway between networks. A commit that changes it is a full one.
func (r Reader) SeveralNetworks() bool { return len(r.s.gateways.data.row(Place{})) > 0 }

// GatewayNames gives the names of gateways between networks, for whose addresses the DNS is to be asked. No proxy
// depends on them.
func (s *Snapshot) GatewayNames() []string { return s.gatewayNames }

// NetworkGateways gives the gateways between networks, in order.
func (r Reader) NetworkGateways() model.NetworkGateways { return r.s.gateways.read(r, Place{}) }

// NetworkOf gives the network of a Pod. A commit that changes what follows from another object is a full one.
func (r Reader) NetworkOf(pod *model.Object) string {
	in := r.s.networks.in(pod.Cluster)
	return in.of(pod.Labels, pod.Spec.(*model.Pod).IP)
}
