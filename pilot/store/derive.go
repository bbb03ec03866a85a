package store

import (
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// deriveServices computes the services of a Service or ServiceEntry object.
func (s *state) deriveServices(key model.Key) {
	var next []*model.Service
	if o := s.object(key); o != nil {
		next = s.servicesOf(o)
	}
	old := s.services.byKey[key]
	former := make(map[string]*model.Service, len(old)) // by host
	for _, svc := range old {
		former[svc.Hostname] = svc
	}
	for _, svc := range next {
		if before := former[svc.Hostname]; before != nil {
			svc.ServiceAccounts = before.ServiceAccounts // until the endpoints say otherwise
			delete(former, svc.Hostname)
		}
	}
	for host := range former {
		s.setEndpoints(endpointOwner{key, host}, s.endpoints.of[endpointOwner{key, host}], nil)
	}
	s.setServices(key, old, next)
}

func (s *state) servicesOf(o *model.Object) []*model.Service {
	exportTo, inNamespace := s.Mesh.GetDefaultServiceExportTo(), s.inNamespace(o)
	if entry, ok := o.Spec.(*networking.ServiceEntry); ok {
		if own := entry.GetExportTo(); len(own) > 0 {
			exportTo = own
		}
		return newEntryServices(o, s.boundedExport(o.Namespace, exportTo), inNamespace, s.allocator.addresses(o))
	}
	if svc := newService(o, s.Domain, exportTo, inNamespace); svc != nil {
		return []*model.Service{svc}
	}
	return nil
}

// inNamespace gives the trafficDistribution that the services of an object's namespace have unless they say otherwise.
func (s *state) inNamespace(o *model.Object) string {
	namespace := s.object(model.Key{Kind: model.KindNamespace, Name: o.Namespace, Cluster: o.Cluster})
	if namespace == nil {
		return ""
	}
	return namespace.Annotations[trafficDistribution]
}

// setServices puts the services of an object in the place of their former versions.
func (s *state) setServices(key model.Key, old, next []*model.Service) {
	if slices.EqualFunc(old, next, sameService) {
		return
	}
	s.services.put(key, next)
	s.changed.add(key)
}

// deriveEndpoints computes the endpoints of an object's services. They come from its EndpointSlices
// where it has any, from what a ServiceEntry lists, else from the workloads that its selector matches.
// Of these only some changed unless pods is nil.
func (s *state) deriveEndpoints(key model.Key, pods keySet) {
	services := s.services.byKey[key]
	var known []*model.Service // with other accounts
	for i, svc := range services {
		owner := endpointOwner{key, svc.Hostname}
		old := s.endpoints.of[owner]
		var next []model.Endpoint
		if pods != nil && !s.full && len(s.links.slicesOf[key]) == 0 && s.alone(old, pods) {
			out, in := s.podRows(svc, old, pods, s.placement(key.Cluster))
			if slices.EqualFunc(out, in, sameEndpoint) {
				continue
			}
			next = keepLost(replaceRows(old, out, in, compareEndpoints))
		} else {
			next = keepLost(s.allEndpoints(svc))
		}
		s.setEndpoints(owner, old, next)
		if accounts := s.accounts(next); !slices.Equal(accounts, svc.ServiceAccounts) {
			if known == nil {
				known = slices.Clone(services)
			}
			changed := *svc
			changed.ServiceAccounts, known[i] = accounts, &changed
		}
	}
	if known != nil {
		s.setServices(key, services, known)
	}
}

// allEndpoints computes the endpoints of a service.
func (s *state) allEndpoints(svc *model.Service) []model.Endpoint {
	key, network := svc.Key, s.placement(svc.Key.Cluster)
	var next []model.Endpoint
	if sliced := s.links.slicesOf[key]; len(sliced) > 0 {
		for _, at := range sliced {
			next = sliceEndpoints(next, svc, s.object(at), network, s.podBehind(key.Cluster, key.Namespace))
		}
		return sortEndpoints(next)
	}
	if key.Kind == model.KindServiceEntry {
		next = inlineEndpoints(svc, s.object(key))
	}
	if selected := s.links.podsOf[key]; next == nil && len(selected) > 0 {
		next = make([]model.Endpoint, 0, len(selected)*len(svc.Ports))
		for _, pod := range selected {
			next = workloadEndpoints(next, svc, s.object(pod), network)
		}
	}
	return sortEndpoints(next)
}

// workloadEndpoints adds to out what a Pod or a WorkloadEntry offers to a service.
func workloadEndpoints(out []model.Endpoint, svc *model.Service, o *model.Object, network placement) []model.Endpoint {
	if o.Kind == model.KindWorkloadEntry {
		return workloadEntryEndpoints(out, svc, o)
	}
	return podEndpoints(out, svc, o, network)
}

// alone tells whether no other pod has an address that some pods have or had: of two endpoints
// at an address only one counts.
func (s *state) alone(old []model.Endpoint, pods keySet) bool {
	for key := range pods {
		if at := addressOf(s.object(key)); at != "" && len(s.links.podsAt.row(clusterAddress(key.Cluster, at))) > 1 {
			return false
		}
	}
	for i := range old {
		if _, changed := pods[endpointPod(&old[i])]; !changed {
			continue
		}
		for _, other := range s.links.podsAt.row(clusterAddress(old[i].Cluster, old[i].Address)) {
			if _, changed := pods[other]; !changed {
				return false
			}
		}
	}
	return true
}

func endpointPod(e *model.Endpoint) model.Key {
	kind := model.KindPod
	if e.Entry {
		kind = model.KindWorkloadEntry
	}
	return model.Key{Kind: kind, Namespace: e.Namespace, Name: e.Pod, Cluster: e.Cluster}
}

// podRows gives the endpoints that some pods had, and those that they have now.
func (s *state) podRows(svc *model.Service, old []model.Endpoint, pods keySet, network placement) (out, in []model.Endpoint) {
	for i := range old {
		if _, changed := pods[endpointPod(&old[i])]; changed {
			out = append(out, old[i])
		}
	}
	for key := range pods {
		if _, selected := slices.BinarySearchFunc(s.links.podsOf[svc.Key], key, model.Key.Compare); selected {
			in = workloadEndpoints(in, svc, s.object(key), network)
		}
	}
	return out, sortEndpoints(in)
}

// setEndpoints puts a service's endpoints in the place of its former ones.
func (s *state) setEndpoints(of endpointOwner, old, next []model.Endpoint) {
	if !slices.EqualFunc(old, next, sameEndpoint) {
		s.movedEndpoints.add(of.object)
		s.endpoints.put(of, next)
	}
}

// accounts gives the identities that endpoints with a sidecar or without may present, sorted.
func (s *state) accounts(eps []model.Endpoint) []string {
	type account struct{ namespace, name string }
	last, seen := account{}, map[account]struct{}{}
	for i := range eps {
		if a := (account{eps[i].Namespace, eps[i].ServiceAccount}); a.name != "" && a != last {
			last, seen[a] = a, struct{}{}
		}
	}
	out := make([]string, 0, len(seen))
	for a := range seen {
		out = append(out, model.SPIFFE(s.Mesh.GetTrustDomain(), a.namespace, a.name))
	}
	slices.Sort(out)
	return out
}

// podBehind finds the pod of a slice's endpoint: by its reference, else by its address.
func (s *state) podBehind(cluster, namespace string) func(*discoveryv1.Endpoint, string) *model.Object {
	return func(ep *discoveryv1.Endpoint, address string) *model.Object {
		if ref := ep.TargetRef; ref != nil && ref.Kind == "Pod" {
			return s.object(model.Key{Kind: model.KindPod, Namespace: namespace, Name: ref.Name, Cluster: cluster})
		}
		return s.object(s.links.podAt(cluster, address))
	}
}

// addressOf gives the address of a Pod or a WorkloadEntry, "" for none yet.
func addressOf(o *model.Object) string {
	if o == nil {
		return ""
	}
	if entry, ok := o.Spec.(*networking.WorkloadEntry); ok {
		return strings.TrimPrefix(model.CanonicalIP(entry.GetAddress()), model.UnixScheme)
	}
	return o.Spec.(*model.Pod).IP
}

func serviceHost(namespace, name, domain string) string {
	return name + "." + namespace + ".svc." + domain
}

// endpointOwner is a service of an object.
type endpointOwner struct {
	object model.Key
	host   string
}

// endpointTable holds the endpoints of the services of each object, and by namespace and hostname those
// of all: of a Service in several clusters, and of ServiceEntries that add to it.
type endpointTable struct {
	of      map[endpointOwner][]model.Endpoint
	objects map[Place]keyList // by the row that they add to
	rows    *table[[]model.Endpoint]
	moved   map[Place]struct{} // rows of which an object's endpoints changed since the last flush

	longOwners map[endpointOwner]struct{} // with an endpoint whose LongPeer is set
	long       *table[bool]               // one row: whether there are any
}

func newEndpointTable(changed *journal) *endpointTable {
	return &endpointTable{
		of: map[endpointOwner][]model.Endpoint{}, objects: map[Place]keyList{}, rows: newTable[[]model.Endpoint]("endpoints", changed, nil),
		moved:      map[Place]struct{}{},
		longOwners: map[endpointOwner]struct{}{}, long: newTable[bool]("long peers", changed, nil),
	}
}

// put replaces the endpoints of a service of an object.
func (t *endpointTable) put(of endpointOwner, next []model.Endpoint) {
	t.countLong(of, next)
	row := Place{Namespace: of.object.Namespace, Name: of.host}
	t.moved[row] = struct{}{}
	if set(t.of, of, next); len(next) == 0 {
		remove(t.objects, row, of.object)
	} else {
		insert(t.objects, row, of.object)
	}
}

// flush brings the rows up to what was put. Each is joined once, however many of its objects changed.
func (t *endpointTable) flush() {
	for row := range t.moved {
		switch all := t.objects[row]; len(all) {
		case 0:
			t.rows.drop(row)
		case 1:
			t.rows.put(row, t.of[endpointOwner{all[0], row.Name}])
		default:
			var joined []model.Endpoint
			for _, k := range all {
				joined = append(joined, t.of[endpointOwner{k, row.Name}]...)
			}
			t.rows.put(row, sortEndpoints(joined))
		}
	}
	t.moved = map[Place]struct{}{} // as in journal.take
}

// countLong notes whether endpoints need the long form in which proxies say who they are.
func (t *endpointTable) countLong(of endpointOwner, next []model.Endpoint) {
	delete(t.longOwners, of)
	for i := range next {
		if next[i].LongPeer {
			t.longOwners[of] = struct{}{}
			break
		}
	}
	if some := len(t.longOwners) > 0; some != t.long.row(Place{}) {
		t.long.put(Place{}, some)
	}
}
