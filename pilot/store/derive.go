package store

import (
	"maps"
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
	s.dirtyKinds[nsKind{model.KindService, key.Namespace}] = struct{}{}
}

// deriveEndpoints computes a service's endpoints: from its EndpointSlices where it has any, else
// from the pods that its selector matches.
func (s *state) deriveEndpoints(key model.Key) {
	var next []model.Endpoint
	svc := s.services.row(key)
	if svc != nil {
		network := s.defaultNetwork()
		if sliced := s.links.slicesOf[key]; len(sliced) > 0 {
			for _, at := range sortedKeys(sliced) {
				slice := s.objects.row(at).Spec.(*discoveryv1.EndpointSlice)
				next = sliceEndpoints(next, svc, slice, network, s.podBehind(key.Namespace))
			}
		} else {
			for pod := range s.links.podsOf[key] {
				next = podEndpoints(next, svc, s.objects.row(pod), network)
			}
		}
		next = sortEndpoints(next)
	}
	if !slices.EqualFunc(s.endpoints.row(key), next, sameEndpoint) {
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
	seen := map[string]struct{}{}
	for i := range eps {
		if eps[i].ServiceAccount != "" {
			seen[model.SPIFFE(s.mesh.GetTrustDomain(), eps[i].Namespace, eps[i].ServiceAccount)] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(seen))
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

// deriveKind computes the lists of one kind in one namespace.
func (s *state) deriveKind(at nsKind) {
	if at.kind == model.KindService {
		s.deriveServices(at.namespace)
		return
	}
	if !listed(at.kind) {
		return
	}
	old := s.byKind.row(at)
	next := slices.SortedFunc(maps.Values(s.members[at]), model.Older)
	if len(next) == 0 {
		s.byKind.delete(at)
	} else {
		s.byKind.set(at, next)
	}
	switch at.kind {
	case model.KindVirtualService:
		s.virtualOut = append(s.virtualOut, s.scopedVirtualServices(old)...)
		s.virtualIn = append(s.virtualIn, s.scopedVirtualServices(next)...)
	case model.KindDestinationRule:
		s.deriveExported(old, next)
		if rules := newHostRules(next, s.domain); rules != nil {
			s.rules.set(at.namespace, rules)
		} else {
			s.rules.delete(at.namespace)
		}
	}
}

// listed tells whether readers ask for the objects of a kind by namespace.
func listed(kind model.Kind) bool {
	switch kind {
	case model.KindVirtualService, model.KindDestinationRule, model.KindGateway,
		model.KindSidecar, model.KindPeerAuthentication:
		return true
	}
	return false
}

func scopedService(svc *model.Service) scoped[*model.Service] {
	return scoped[*model.Service]{svc, scopeOf(svc.ExportTo, svc.Namespace)}
}

// scopedVirtualServices gives the objects with who may see them.
func (s *state) scopedVirtualServices(objects []*model.Object) []scoped[*model.Object] {
	out := make([]scoped[*model.Object], len(objects))
	for i, o := range objects {
		out[i] = scoped[*model.Object]{o, virtualServiceScope(o, s.mesh)}
	}
	return out
}

// deriveServices lists the services of a namespace, by hostname.
func (s *state) deriveServices(namespace string) {
	var next []*model.Service
	for _, o := range s.members[nsKind{model.KindService, namespace}] {
		if svc := s.services.row(o.Key); svc != nil {
			next = append(next, svc)
		}
	}
	if len(next) == 0 {
		s.nsServices.delete(namespace)
		return
	}
	slices.SortFunc(next, compareServices)
	s.nsServices.set(namespace, next)
}

func (s *state) gatewaysDirty() bool {
	for at := range s.dirtyKinds {
		if at.kind == model.KindGateway {
			return true
		}
	}
	return false
}

func (s *state) allGateways() []*model.Object {
	var out []*model.Object
	for at, objects := range s.members {
		if at.kind == model.KindGateway {
			out = slices.AppendSeq(out, maps.Values(objects))
		}
	}
	slices.SortFunc(out, model.Older)
	return out
}

// podIP gives a pod's address, "" for none yet.
func podIP(o *model.Object) string {
	if o == nil {
		return ""
	}
	return o.Spec.(*corev1.Pod).Status.PodIP
}
