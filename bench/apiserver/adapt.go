package apiserver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/yaml"
)

// order is that of the kinds that others need; all else comes last.
var order = []string{"Namespace", "Node", "ServiceAccount", "Service", "Pod", "EndpointSlice"}

func stage(o *unstructured.Unstructured) int {
	if i := slices.Index(order, o.GetKind()); i >= 0 {
		return i
	}
	return len(order)
}

// slice is the EndpointSlice of a service.
type slice struct {
	service   types.NamespacedName
	port      map[string]any
	endpoints []endpoint
}

type endpoint struct{ pod, address, node, zone string }

// place is where a Pod is listed.
type place struct {
	service types.NamespacedName
	at      int
	address string
}

// podsPerNode is Kubernetes' limit.
const podsPerNode = 110

func parse(text []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		o := &unstructured.Unstructured{}
		if err := d.Decode(&o.Object); errors.Is(err, io.EOF) {
			return out, nil
		} else if err != nil {
			return nil, fmt.Errorf("synthetic mesh: %w", err)
		}
		if len(o.Object) > 0 {
			out = append(out, o)
		}
	}
}

func nameOf(o *unstructured.Unstructured) types.NamespacedName {
	return types.NamespacedName{Namespace: o.GetNamespace(), Name: o.GetName()}
}

// adapt makes of an object one that an API server takes and controllers leave alone, with the Node that a Pod
// needs. A Service's slice learns of its port and of its Pods.
func (m *Mesh) adapt(o *unstructured.Unstructured) []*unstructured.Unstructured {
	out := []*unstructured.Unstructured{o}
	switch o.GetKind() {
	case "Namespace":
		o.SetLabels(map[string]string{made: "true"}) // pods come as they are, whoever injects here
	case "Service":
		m.adaptService(o)
	case "Pod":
		if node := m.adaptPod(o); node != nil {
			out = append(out, node)
		}
	}
	return out
}

// adaptService lets the cluster choose the address.
func (m *Mesh) adaptService(o *unstructured.Unstructured) {
	if ip, _, _ := unstructured.NestedString(o.Object, "spec", "clusterIP"); ip != corev1.ClusterIPNone {
		unstructured.RemoveNestedField(o.Object, "spec", "clusterIP")
	}
	ports, _, _ := unstructured.NestedSlice(o.Object, "spec", "ports")
	first, _ := ports[0].(map[string]any)
	m.slices[nameOf(o)] = &slice{
		service: nameOf(o), port: map[string]any{"name": first["name"], "port": first["targetPort"], "protocol": "TCP"},
	}
}

// adaptPod puts a Pod on a Node, which is given where it is a new one. Its owners are not there, and it ends
// at once, since no kubelet says when it has.
func (m *Mesh) adaptPod(o *unstructured.Unstructured) *unstructured.Unstructured {
	labels := o.GetLabels()
	zone := labels[corev1.LabelTopologyZone]
	name := fmt.Sprintf("bench-%s-%d", zone, len(m.pods)/podsPerNode)
	o.SetOwnerReferences(nil)
	spec := o.Object["spec"].(map[string]any)
	spec["nodeName"] = name
	spec["terminationGracePeriodSeconds"] = int64(0)
	spec["tolerations"] = []any{map[string]any{"operator": "Exists"}}
	service := types.NamespacedName{Namespace: o.GetNamespace(), Name: labels["app"]}
	if s := m.slices[service]; s != nil {
		m.pods[nameOf(o)] = place{service, len(s.endpoints), addressOf(o)}
		s.endpoints = append(s.endpoints, endpoint{pod: o.GetName(), address: addressOf(o), node: name, zone: zone})
	}
	if m.nodes[name] {
		return nil
	}
	m.nodes[name] = true
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Node",
		"metadata": map[string]any{"name": name, "labels": map[string]any{
			made: "true", corev1.LabelTopologyZone: zone, corev1.LabelTopologyRegion: labels[corev1.LabelTopologyRegion],
		}},
	}}
}

func addressOf(o *unstructured.Unstructured) string {
	ip, _, _ := unstructured.NestedString(o.Object, "status", "podIP")
	return ip
}

// statusOf gives what changes of a Pod.
func statusOf(o *unstructured.Unstructured) map[string]any {
	return map[string]any{"metadata": map[string]any{"annotations": o.GetAnnotations()}, "status": o.Object["status"]}
}

func (s *slice) object() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
		"metadata": map[string]any{
			"name": s.service.Name + "-bench", "namespace": s.service.Namespace,
			"labels": map[string]any{"kubernetes.io/service-name": s.service.Name, "endpointslice.kubernetes.io/managed-by": "pilotctl-bench"},
		},
		"ports": []any{s.port}, "endpoints": s.list(),
	}}
}

func (s *slice) list() []any {
	out := []any{}
	for _, e := range s.endpoints {
		out = append(out, map[string]any{
			"addresses": []any{e.address}, "nodeName": e.node, "zone": e.zone,
			"conditions": map[string]any{"ready": true, "serving": true, "terminating": false},
			"targetRef":  map[string]any{"kind": "Pod", "namespace": s.service.Namespace, "name": e.pod},
		})
	}
	return out
}
