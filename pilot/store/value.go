package store

import (
	"maps"
	"reflect"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// sameValue tells whether two versions of an object mean the same to a mesh: what only tells
// when or by whom it was written does not count.
func sameValue(a, b *model.Object) bool {
	switch a.Kind {
	case model.KindService:
		return sameAlias(a, b) // else what counts is the service derived from it
	case model.KindServiceEntry:
		return true // what counts is the service derived from it
	case model.KindWorkloadEntry:
		return sameWorkloadEntry(a, b)
	case model.KindPod:
		return samePod(a, b)
	case model.KindSecret:
		return a.Spec.(*model.Secret).Same(b.Spec.(*model.Secret))
	case model.KindIngress, model.KindIngressClass:
		return maps.Equal(a.Annotations, b.Annotations) && a.Created.Equal(b.Created) && model.SameSpec(a, b)
	case model.KindNamespace:
		return maps.Equal(a.Labels, b.Labels) && sameAnnotations(a.Annotations, b.Annotations)
	case model.KindAuthorizationPolicy, model.KindVirtualService, model.KindDestinationRule: // annotations change what they do
		return a.Created.Equal(b.Created) && sameAnnotations(a.Annotations, b.Annotations) && model.SameSpec(a, b)
	}
	return a.Created.Equal(b.Created) && model.SameSpec(a, b)
}

// samePod compares what configuration reads of a pod. Readiness and the end of a pod's life
// concern its endpoints only, which are compared on their own.
func samePod(a, b *model.Object) bool {
	x, y := a.Spec.(*model.Pod), b.Spec.(*model.Pod)
	return maps.Equal(a.Labels, b.Labels) && sameAnnotations(a.Annotations, b.Annotations) &&
		x.Node == y.Node && x.Hostname == y.Hostname && x.Subdomain == y.Subdomain && x.IP == y.IP && x.ServiceAccount == y.ServiceAccount &&
		x.HostNetwork == y.HostNetwork &&
		slices.Equal(x.Ports, y.Ports)
}

// sameRows tells whether two versions of an object that mean the same lead to the same rows.
func (s *state) sameRows(a, b *model.Object) bool {
	switch x := a.Spec.(type) {
	case *model.Pod: // the same configuration, perhaps not the same endpoints
		y := b.Spec.(*model.Pod)
		return serves(x) == serves(y) && podHealth(x, false) == podHealth(y, false) && x.Lost == y.Lost && x.Workload == y.Workload && x.LongPeer == y.LongPeer
	case *networking.ServiceEntry: // it counts whole: for services, endpoints, addresses
		return a.Created.Equal(b.Created) && model.SameSpec(a, b) && maps.Equal(a.Labels, b.Labels) &&
			a.Annotations[trafficDistribution] == b.Annotations[trafficDistribution]
	case *corev1.Service:
		exportTo := s.Mesh.GetDefaultServiceExportTo()
		for _, said := range []string{exportToAnnotation, trafficDistribution} {
			if a.Annotations[said] != b.Annotations[said] {
				return false // they may differ under another default of the mesh, or of the namespace
			}
		}
		if !slices.Equal(gatewayAddresses(a), gatewayAddresses(b)) {
			return false // that of another network, perhaps
		}
		p, q := newService(a, s.Domain, exportTo, ""), newService(b, s.Domain, exportTo, "")
		return p == nil && q == nil || p != nil && q != nil && sameService(p, q)
	}
	return true
}

// sameAnnotations compares the annotations that address a mesh, e.g. traffic.sidecar.istio.io/….
func sameAnnotations(a, b map[string]string) bool {
	within := func(a, b map[string]string) bool {
		for k, v := range a {
			if model.ForMesh(k) {
				if other, ok := b[k]; !ok || other != v {
					return false
				}
			}
		}
		return true
	}
	return within(a, b) && within(b, a)
}

// sameService compares all of a service but the place where it was read.
func sameService(a, b *model.Service) bool {
	x, y := *a, *b
	x.Created, x.Origin = x.Created.UTC(), model.Origin{}
	y.Created, y.Origin = y.Created.UTC(), model.Origin{}
	return reflect.DeepEqual(x, y)
}
