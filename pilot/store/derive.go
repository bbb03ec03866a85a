package store

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// deriveService computes the service of a Service object.
func (s *state) deriveService(key model.Key) {
	var next *model.Service
	if o := s.objects.row(key); o != nil {
		next = newService(o, s.domain, s.mesh.GetDefaultServiceExportTo())
	}
	old := s.services.row(key)
	if next != nil && old != nil {
		next.ServiceAccounts = old.ServiceAccounts // until the endpoints say otherwise
	}
	s.setService(key, old, next)
}

// setService puts a service in the place of its former version.
func (s *state) setService(key model.Key, old, next *model.Service) {
	switch {
	case old == nil && next == nil:
		return
	case old != nil && next != nil && sameService(old, next):
		return
	}
	if _, seen := s.formerServices[key]; !seen {
		s.formerServices[key] = old // a service may change twice in a commit
	}
	if old != nil {
		s.services.delete(key)
		s.byHost.delete(old.Hostname)
	}
	if next != nil {
		s.services.set(key, next)
		s.byHost.set(next.Hostname, next)
	}
	s.changed.add(key)
}

// deriveEndpoints computes a service's endpoints: from its EndpointSlices where it has any, else
// from the pods that its selector matches, of which only some changed unless pods is nil.
func (s *state) deriveEndpoints(key model.Key, pods keySet) {
	svc, old := s.services.row(key), s.endpoints.row(key)
	var next []model.Endpoint
	network := s.defaultNetwork()
	switch sliced := s.links.slicesOf[key]; {
	case svc == nil:
	case len(sliced) > 0:
		for _, at := range sliced {
			slice := s.objects.row(at).Spec.(*discoveryv1.EndpointSlice)
			next = sliceEndpoints(next, svc, slice, network, s.podBehind(key.Namespace))
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
			next = podEndpoints(next, svc, s.objects.row(pod), network)
		}
		next = sortEndpoints(next)
	}
	s.setEndpoints(key, svc, old, next)
}

// alone tells whether no other pod has an address that some pods have or had: of two endpoints
// at an address only one counts.
func (s *state) alone(old []model.Endpoint, pods keySet) bool {
	for key := range pods {
		if at := podIP(s.objects.row(key)); at != "" && len(s.links.podsAt[at]) > 1 {
			return false
		}
	}
	for i := range old {
		if _, changed := pods[endpointPod(&old[i])]; !changed {
			continue
		}
		for _, other := range s.links.podsAt[old[i].Address] {
			if _, changed := pods[other]; !changed {
				return false
			}
		}
	}
	return true
}

func endpointPod(e *model.Endpoint) model.Key {
	return model.Key{Kind: model.KindPod, Namespace: e.Namespace, Name: e.Pod}
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
			in = podEndpoints(in, svc, s.objects.row(key), network)
		}
	}
	return out, sortEndpoints(in)
}

// setEndpoints puts a service's endpoints in the place of its former ones.
func (s *state) setEndpoints(key model.Key, svc *model.Service, old, next []model.Endpoint) {
	if !slices.EqualFunc(old, next, sameEndpoint) {
		s.movedEndpoints.add(key)
		if len(next) == 0 {
			s.endpoints.delete(key)
		} else {
			s.endpoints.set(key, next)
		}
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
		out[i] = model.SPIFFE(s.mesh.GetTrustDomain(), a.namespace, a.name)
	}
	slices.Sort(out)
	return out
}

// podBehind finds the pod of a slice's endpoint: by its reference, else by its address.
func (s *state) podBehind(namespace string) func(*discoveryv1.Endpoint, string) *model.Object {
	return func(ep *discoveryv1.Endpoint, address string) *model.Object {
		if ref := ep.TargetRef; ref != nil && ref.Kind == "Pod" {
			return s.objects.row(model.Key{Kind: model.KindPod, Namespace: namespace, Name: ref.Name})
		}
		return s.objects.row(s.links.podAt(address))
	}
}

// defaultNetwork gives the network of pods that name none: a label of the root namespace.
func (s *state) defaultNetwork() string {
	root := s.objects.row(model.Key{Kind: model.KindNamespace, Name: s.mesh.GetRootNamespace()})
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
	return o.Spec.(*corev1.Pod).Status.PodIP
}
