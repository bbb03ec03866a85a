package apiserver

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"

	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

func open(t *testing.T, spec mesh.Spec) (*Mesh, *mesh.Mesh) {
	t.Helper()
	of, err := mesh.New(spec, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	m := &Mesh{
		client: fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
			corev1.SchemeGroupVersion.WithResource("pods"):                             "PodList",
			corev1.SchemeGroupVersion.WithResource("nodes"):                            "NodeList",
			corev1.SchemeGroupVersion.WithResource("services"):                         "ServiceList",
			discoveryv1.SchemeGroupVersion.WithResource("endpointslices"):              "EndpointSliceList",
			{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}: "VirtualServiceList",
		}),
		slices: map[types.NamespacedName]*slice{}, pods: map[types.NamespacedName]place{}, nodes: map[string]bool{},
	}
	if err := m.Write(t.Context(), of.Documents()...); err != nil {
		t.Fatal(err)
	}
	return m, of
}

func (m *Mesh) list(t *testing.T, group, version, resource string) []unstructured.Unstructured {
	t.Helper()
	list, err := m.client.Resource(schema.GroupVersionResource{Group: group, Version: version, Resource: resource}).List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

var small = mesh.Spec{Seed: 1, Services: 40, Endpoints: 4, Namespaces: 4, Zones: 2, VirtualServices: 3, DestinationRules: 3}

// TestTheMeshIsWhole: each Pod is listed and on a Node, and no controller has a reason to take it away.
func TestTheMeshIsWhole(t *testing.T) {
	m, _ := open(t, small)
	pods, nodes := m.list(t, "", "v1", "pods"), map[string]bool{}
	for _, n := range m.list(t, "", "v1", "nodes") {
		nodes[n.GetName()] = true
	}
	listed := map[string]bool{}
	for _, s := range m.list(t, "discovery.k8s.io", "v1", "endpointslices") {
		endpoints, _, _ := unstructured.NestedSlice(s.Object, "endpoints")
		for _, e := range endpoints {
			name, _, _ := unstructured.NestedString(e.(map[string]any), "targetRef", "name")
			listed[s.GetNamespace()+"/"+name] = true
		}
	}
	for _, p := range pods {
		node, _, _ := unstructured.NestedString(p.Object, "spec", "nodeName")
		if !nodes[node] || !listed[p.GetNamespace()+"/"+p.GetName()] || len(p.GetOwnerReferences()) > 0 {
			t.Errorf("%s: node %q, listed %v, owners %v", p.GetName(), node, listed[p.GetNamespace()+"/"+p.GetName()], p.GetOwnerReferences())
		}
	}
	if len(pods) != 160 || len(m.list(t, "", "v1", "services")) != 40 || len(m.list(t, "networking.istio.io", "v1", "virtualservices")) != 3 {
		t.Errorf("%d pods", len(pods))
	}
}

// TestAnAddressIsChangedInTheSlice, and what concerns nobody in the Pod.
func TestAnAddressIsChangedInTheSlice(t *testing.T) {
	m, of := open(t, small)
	find := func() (pod, sliced string) {
		w := of.Workload(small.Services) // the second pod of service 0
		p, err := m.client.Resource(corev1.SchemeGroupVersion.WithResource("pods")).Namespace(w.Namespace).Get(t.Context(), w.Name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range m.list(t, "discovery.k8s.io", "v1", "endpointslices") {
			if s.GetLabels()["kubernetes.io/service-name"] == "svc-0" {
				endpoints, _, _ := unstructured.NestedSlice(s.Object, "endpoints")
				addresses, _, _ := unstructured.NestedStringSlice(endpoints[1].(map[string]any), "addresses")
				return p.GetAnnotations()["example.org/checked"], addresses[0]
			}
		}
		return "", ""
	}
	notes, before := find()
	if _, err := m.Apply(t.Context(), of.Touch(0, 1).Data); err != nil {
		t.Fatal(err)
	}
	touched, same := find()
	if touched == notes || same != before {
		t.Errorf("a touched pod: noted %q, address %s, was %s", touched, same, before)
	}
	if _, err := m.Apply(t.Context(), of.Endpoint(0, 1).Data); err != nil {
		t.Fatal(err)
	}
	if _, after := find(); after == before {
		t.Errorf("the address is still %s", after)
	}
	if n := len(m.Wrote()); n != 2 {
		t.Errorf("%d writes were timed, not 2", n)
	}
}
