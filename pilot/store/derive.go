package store

import (
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// deriveService computes the services of a Service object.
func (s *state) deriveService(key model.Key) {
	var next *model.Service
	if o := s.object(key); o != nil {
		next = newService(o, s.Domain, s.Mesh.GetDefaultServiceExportTo())
	}
	old := s.service(key)
	if next != nil && old != nil {
		next.ServiceAccounts = old.ServiceAccounts // until the endpoints say otherwise
	}
	s.setService(key, old, next)
}

// service gives the one of a Service object, or nil.
func (s *state) service(key model.Key) *model.Service {
	if all := s.services.byKey[key]; len(all) > 0 {
		return all[0]
	}
	return nil
}

// setService puts a service in the place of its former version.
func (s *state) setService(key model.Key, old, next *model.Service) {
	switch {
	case old == nil && next == nil:
		return
	case old != nil && next != nil && sameService(old, next):
		return
	case next == nil:
		s.services.put(key, nil)
	default:
		s.services.put(key, []*model.Service{next})
	}
	s.changed.add(key)
}

// deriveEndpoints computes a service's endpoints: from its EndpointSlices where it has any, else
// from the pods that its selector matches, of which only some changed unless pods is nil.
func (s *state) deriveEndpoints(key model.Key, pods keySet) {
	svc, old := s.service(key), s.endpoints.of[key]
	var next []model.Endpoint
	network := s.defaultNetwork()
	switch sliced := s.links.slicesOf[key]; {
	case svc == nil:
	case len(sliced) > 0:
		for _, at := range sliced {
			slice := s.object(at).Spec.(*discoveryv1.EndpointSlice)
			next = sliceEndpoints(next, svc, slice, network, s.podBehind(key.Cluster, key.Namespace))
		}
		next = sortEndpoints(next)
	case pods != nil && !s.full && s.alone(old, pods):
		out, in := s.podRows(svc, old, pods, network)
		if slices.EqualFunc(out, in, sameEndpoint) {
			return
		}
		next = replaceRows(old, out, in, compareEndpoints)
	default:
		next = make([]model.Endpoint, 0, len(s.links.podsOf[key])*len(svc.Ports))
		for _, pod := range s.links.podsOf[key] {
			next = podEndpoints(next, svc, s.object(pod), network)
		}
		next = sortEndpoints(next)
	}
	s.setEndpoints(key, svc, old, next)
}

// alone tells whether no other pod has an address that some pods have or had: of two endpoints
// at an address only one counts.
func (s *state) alone(old []model.Endpoint, pods keySet) bool {
	for key := range pods {
		if at := podIP(s.object(key)); at != "" && len(s.links.podsAt[clusterAddress{key.Cluster, at}]) > 1 {
			return false
		}
	}
	for i := range old {
		if _, changed := pods[endpointPod(&old[i])]; !changed {
			continue
		}
		for _, other := range s.links.podsAt[clusterAddress{old[i].Cluster, old[i].Address}] {
			if _, changed := pods[other]; !changed {
				return false
			}
		}
	}
	return true
}

func endpointPod(e *model.Endpoint) model.Key {
	return model.Key{Kind: model.KindPod, Namespace: e.Namespace, Name: e.Pod, Cluster: e.Cluster}
}

// podRows gives the endpoints that some pods had, and those that they have now.
func (s *state) podRows(svc *model.Service, old []model.Endpoint, pods keySet, network string) (out, in []model.Endpoint) {
	for i := range old {
		if _, changed := pods[endpointPod(&old[i])]; changed {
			out = append(out, old[i])
		}
	}
	for key := range pods {
		if _, selected := slices.BinarySearchFunc(s.links.podsOf[svc.Key], key, model.Key.Compare); selected {
			in = podEndpoints(in, svc, s.object(key), network)
		}
	}
	return out, sortEndpoints(in)
}

// setEndpoints puts a service's endpoints in the place of its former ones.
func (s *state) setEndpoints(key model.Key, svc *model.Service, old, next []model.Endpoint) {
	if !slices.EqualFunc(old, next, sameEndpoint) {
		s.movedEndpoints.add(key)
		s.endpoints.put(key, s.hostname(key), next)
	}
	if svc == nil {
		return
	}
	if accounts := s.accounts(next); !slices.Equal(accounts, svc.ServiceAccounts) {
		changed := *svc
		changed.ServiceAccounts = accounts
		s.setService(key, svc, &changed)
	}
}

// accounts gives the identities that endpoints with a sidecar or without may present, sorted.
func (s *state) accounts(eps []model.Endpoint) []string {
	type account struct{ namespace, name string }
	var seen []account // of one namespace and name, mostly
	for i := range eps {
		if a := (account{eps[i].Namespace, eps[i].ServiceAccount}); a.name != "" && !slices.Contains(seen, a) {
			seen = append(seen, a)
		}
	}
	out := make([]string, len(seen))
	for i, a := range seen {
		out[i] = model.SPIFFE(s.Mesh.GetTrustDomain(), a.namespace, a.name)
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

// defaultNetwork gives the network of pods that name none: a label of the root namespace.
func (s *state) defaultNetwork() string {
	root := s.object(model.Key{Kind: model.KindNamespace, Name: s.Mesh.GetRootNamespace()})
	if root == nil {
		return ""
	}
	return root.Labels[labelNetwork]
}

// podIP gives a pod's address, "" for none yet.
func podIP(o *model.Object) string {
	if o == nil {
		return ""
	}
	return o.Spec.(*model.Pod).IP
}

// hostname gives the name of a Kubernetes Service.
func (s *state) hostname(key model.Key) string { return serviceHost(key.Namespace, key.Name, s.Domain) }

func serviceHost(namespace, name, domain string) string {
	return name + "." + namespace + ".svc." + domain
}

// endpointTable holds the endpoints of each Service object, and by hostname those of all clusters.
type endpointTable struct {
	of      map[model.Key][]model.Endpoint
	objects map[key]keyList // by the row that they add to
	rows    *table[[]model.Endpoint]
}

func newEndpointTable() *endpointTable {
	return &endpointTable{of: map[model.Key][]model.Endpoint{}, objects: map[key]keyList{}, rows: newTable[[]model.Endpoint]("endpoints", nil)}
}

// put replaces the endpoints of a Service object.
func (t *endpointTable) put(object model.Key, host string, next []model.Endpoint) {
	row := key{namespace: object.Namespace, name: host}
	if len(next) == 0 {
		delete(t.of, object)
		remove(t.objects, row, object)
	} else {
		t.of[object] = next
		insert(t.objects, row, object)
	}
	switch all := t.objects[row]; len(all) {
	case 0:
		t.rows.drop(row)
	case 1:
		t.rows.put(row, t.of[all[0]])
	default:
		var joined []model.Endpoint
		for _, k := range all {
			joined = append(joined, t.of[k]...)
		}
		t.rows.put(row, sortEndpoints(joined))
	}
}
