package file

import (
	"fmt"
	"maps"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// kindEndpoints is the kind that came before EndpointSlice.
const kindEndpoints model.Kind = "Endpoints"

// mirrorController is who makes EndpointSlices of Endpoints in a cluster, as their label
// endpointslice.kubernetes.io/managed-by names it.
const mirrorController = "endpointslicemirroring-controller.k8s.io"

// endpoints reads an Endpoints object as the EndpointSlices that Kubernetes would make of it.
func (d *decoder) endpoints(src *source) {
	//lint:ignore SA1019 users still write it
	obj := &corev1.Endpoints{}
	strict, err := kjson.UnmarshalStrict(src.text, obj)
	key := model.Key{Kind: kindEndpoints, Namespace: d.inNamespace(obj.Namespace), Name: obj.Name}
	if err != nil {
		d.unreadable(src, "does not parse: "+strings.TrimPrefix(err.Error(), "json: "))
		return
	}
	if !d.named(key, src) {
		return
	}
	for _, problem := range strict {
		field := fieldOf(problem)
		d.problem(key, field, src.fieldLine(field), model.SeverityWarning, model.ReasonInvalid, problem.Error()+"; it has no effect")
	}
	if obj.Labels[discoveryv1.LabelSkipMirror] == "true" || obj.Annotations[model.AnnotationLeader] != "" {
		return // it is no service's, as Kubernetes documents it
	}
	for i := range obj.Subsets {
		for _, family := range []discoveryv1.AddressType{discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6} {
			name := fmt.Sprintf("%s-mirrored-%d-%s", obj.Name, i, strings.ToLower(string(family)))
			if slice := mirror(&obj.Subsets[i], family); len(slice.Endpoints) > 0 {
				slice.ObjectMeta = mirrorMeta(&obj.ObjectMeta, key.Namespace, name)
				d.add(&model.Object{
					Key:     model.Key{Kind: model.KindEndpointSlice, Namespace: key.Namespace, Name: name},
					Created: obj.CreationTimestamp.Time, Labels: slice.Labels, Annotations: slice.Annotations, Spec: slice,
				}, nil, src)
			}
		}
		d.wrongAddresses(key, i, &obj.Subsets[i], src)
	}
}

func mirrorMeta(of *metav1.ObjectMeta, namespace, name string) metav1.ObjectMeta {
	labels := maps.Clone(of.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[discoveryv1.LabelServiceName], labels[discoveryv1.LabelManagedBy] = of.Name, mirrorController
	return metav1.ObjectMeta{
		Name: name, Namespace: namespace, Labels: labels, Annotations: of.Annotations, CreationTimestamp: of.CreationTimestamp,
	}
}

// mirror gives the slice of a subset's addresses of one family.
//
//lint:ignore SA1019 users still write it
func mirror(subset *corev1.EndpointSubset, family discoveryv1.AddressType) *discoveryv1.EndpointSlice {
	slice := &discoveryv1.EndpointSlice{AddressType: family}
	for i := range subset.Ports {
		p := &subset.Ports[i]
		slice.Ports = append(slice.Ports, discoveryv1.EndpointPort{Name: &p.Name, Protocol: &p.Protocol, Port: &p.Port, AppProtocol: p.AppProtocol})
	}
	add := func(addresses []corev1.EndpointAddress, ready bool) {
		for i := range addresses {
			a := &addresses[i]
			if addressFamily(a.IP) != family {
				continue
			}
			ep := discoveryv1.Endpoint{
				Addresses: []string{a.IP}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}, TargetRef: a.TargetRef, NodeName: a.NodeName,
			}
			if a.Hostname != "" {
				ep.Hostname = &a.Hostname
			}
			slice.Endpoints = append(slice.Endpoints, ep)
		}
	}
	add(subset.Addresses, true)
	add(subset.NotReadyAddresses, false)
	return slice
}

// addressFamily gives "" for what is no address.
func addressFamily(text string) discoveryv1.AddressType {
	switch ip, err := netip.ParseAddr(text); {
	case err != nil:
		return ""
	case ip.Is4():
		return discoveryv1.AddressTypeIPv4
	}
	return discoveryv1.AddressTypeIPv6
}

//lint:ignore SA1019 users still write it
func (d *decoder) wrongAddresses(key model.Key, i int, subset *corev1.EndpointSubset, src *source) {
	for name, addresses := range map[string][]corev1.EndpointAddress{"addresses": subset.Addresses, "notReadyAddresses": subset.NotReadyAddresses} {
		for j := range addresses {
			if addressFamily(addresses[j].IP) == "" {
				field := fmt.Sprintf("subsets[%d].%s[%d].ip", i, name, j)
				d.problem(key, field, src.fieldLine(field), model.SeverityWarning, model.ReasonInvalid,
					fmt.Sprintf("%q is no IP address; it is left out", addresses[j].IP))
			}
		}
	}
}

// mirroredFor gives the Service of a slice that was made of Endpoints, false for any other object.
func mirroredFor(o *model.Object) (service model.Key, ok bool) {
	if o == nil || o.Kind != model.KindEndpointSlice || o.Labels[discoveryv1.LabelManagedBy] != mirrorController {
		return model.Key{}, false
	}
	return model.Key{Kind: model.KindService, Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}, true
}

// mirrors knows by Service the slices that were made of Endpoints: a Service with a selector has its pods
// for endpoints and no others.
type mirrors struct {
	slices map[model.Key]map[model.Key]struct{}
	// idle are the slices that are left out for that, with the problem.
	idle map[model.Key]model.Problem
}

// add notes a slice.
func (m *mirrors) add(o *model.Object) {
	service, ok := mirroredFor(o)
	if !ok {
		return
	}
	if m.slices[service] == nil {
		m.slices[service] = map[model.Key]struct{}{}
	}
	m.slices[service][o.Key] = struct{}{}
}

// selects tells whether a mirrored slice's Service has a selector.
func (x *index) selects(o *model.Object) bool {
	service, ok := mirroredFor(o)
	if !ok || x.keys[service] == nil {
		return false
	}
	want, _ := x.keys[service].wanted()
	if want == nil {
		return false
	}
	spec, ok := want.Spec.(*corev1.Service)
	return ok && len(spec.Spec.Selector) > 0
}

// rest notes whether an object is a mirrored slice that is left out.
func (x *index) rest(key model.Key, want *model.Object) bool {
	before, was := x.mirrors.idle[key]
	if want == nil || !x.selects(want) {
		delete(x.mirrors.idle, key)
		x.unsorted = x.unsorted || was
		return false
	}
	p := idleMirror(want)
	x.mirrors.idle[key] = p
	x.unsorted = x.unsorted || p != before
	return true
}

// idleMirror gives the problem of a slice that is left out.
func idleMirror(o *model.Object) model.Problem {
	service, _ := mirroredFor(o)
	return model.Problem{
		Object: model.Key{Kind: kindEndpoints, Namespace: service.Namespace, Name: service.Name}, Origin: o.Origin,
		Severity: model.SeverityWarning, Reason: model.ReasonConflict,
		Message: service.String() + " has a selector, and so the selected pods are its endpoints; the object has no effect",
	}
}
