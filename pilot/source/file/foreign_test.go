package file

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestNoObjectIsPassedOverInSilence decodes what has no effect here. want is the severity with a part of
// the problem, "" for a kind that needs none.
func TestNoObjectIsPassedOverInSilence(t *testing.T) {
	object := func(apiVersion, kind string) string {
		return "apiVersion: " + apiVersion + "\nkind: " + kind + "\nmetadata: {name: a}\n"
	}
	for text, want := range map[string]string{
		object("v1", "service"):                                       "Error did you mean v1 Service?",
		object("v1", "Sevice"):                                        "Error did you mean v1 Service?",
		object("v1", "Pods"):                                          "Error did you mean v1 Pod?",
		object("v1", "Deployment"):                                    "Error did you mean apps/v1 Deployment?",
		object("apps/v1", "Service"):                                  "Error did you mean v1 Service?",
		object("extensions/v1beta1", "Deployment"):                    "Error did you mean apps/v1 Deployment?",
		object("apps/v1beta2", "Deployment"):                          "Error did you mean apps/v1 Deployment?",
		object("discovery.k8s.io/v1beta1", "EndpointSlice"):           "Error did you mean discovery.k8s.io/v1 EndpointSlice?",
		object("network.istio.io/v1", "VirtualService"):               "Error did you mean networking.istio.io/v1 VirtualService?",
		object("networking.istio.io/v1", "VirtualServices"):           "Error did you mean networking.istio.io/v1 VirtualService?",
		object("networking.istio.io/v1", "DestinationRules"):          "Error did you mean networking.istio.io/v1 DestinationRule?",
		object("security.istio.io/v2", "PeerAuthentication"):          "Error did you mean security.istio.io/v1 PeerAuthentication?",
		object("rbac.istio.io/v1alpha1", "ServiceRole"):               "Error pilotctl translate",
		object("authentication.istio.io/v1alpha1", "Policy"):          "Error pilotctl translate",
		object("authentication.istio.io/v1alpha1", "MeshPolicy"):      "Error pilotctl translate",
		object("extensions.istio.io/v1alpha1", "WasmPlugin"):          "Error is not translated",
		object("install.istio.io/v1alpha1", "IstioOperator"):          "Error is not translated",
		object("gateway.networking.k8s.io/v1", "Gateway"):             "Error is not translated",
		object("apps/v1", "StatefulSet"):                              "Warning nothing here reads apps/v1 StatefulSet",
		object("batch/v1", "Job"):                                     "Warning nothing here reads batch/v1 Job",
		object("networking.k8s.io/v1beta1", "Ingress"):                "Error did you mean networking.k8s.io/v1 Ingress?",
		object("networking.k8s.io/v1", "NetworkPolicy"):               "Warning nothing here reads",
		object("serving.knative.dev/v1", "Service"):                   "Warning nothing here reads",
		object("v1", "ReplicationController"):                         "Warning nothing here reads",
		object("v1", "Secret"):                                        "",
		object("v1", "PersistentVolumeClaim"):                         "",
		object("rbac.authorization.k8s.io/v1", "ClusterRoleBinding"):  "",
		object("apiextensions.k8s.io/v1", "CustomResourceDefinition"): "",
		"apiVersion: v1\nkind: List\nitems: {apiVersion: v1}\n":       "Error items: is no list of objects",
		"apiVersion: v1\nkind: List\nitem: []\n":                      "Error items: is no list of objects",
		"apiVersion: v1\nkind: List\nitems: []\n":                     "",
		"apiVersion: v1\nKind: Service\nmetadata: {name: a}\n":        "Error no apiVersion or no kind",
		"just: text\n":                                             "Error no apiVersion or no kind",
		"- apiVersion: v1\n  kind: Service\n":                      "Error does not parse",
		object("networking.istio.io/v1", "Sidecar") + "sepc: {}\n": `Error sepc: unknown field "sepc"`,
		"apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: a, lables: {a: b}}\n":                 `Error unknown field "metadata.lables"`,
		"apiVersion: v1\nkind: Service\nmetadata: {name: a, anotations: {a: b}}\n":                                 `Warning unknown field "metadata.anotations"`,
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio}\ndata: {mesh: ''}\n":                             "Warning data.mesh: the mesh configuration is read in namespace istio-system only",
		"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {network: ''}\n": "Warning data.network: only the keys mesh and meshNetworks",
	} {
		t.Run(strings.ReplaceAll(text, "\n", " "), func(t *testing.T) {
			_, problems := Decode([]byte(text), "x.yaml")
			if want == "" {
				if len(problems) > 0 {
					t.Errorf("problems: %v", problems)
				}
				return
			}
			severity, part, _ := strings.Cut(want, " ")
			if len(problems) != 1 || string(problems[0].Severity) != severity || !strings.Contains(problems[0].String(), part) {
				t.Errorf("problems %v, want %s", problems, want)
			}
		})
	}
}

// TestUnknownFieldOfTheMeshKeepsTheRest has fields of a newer Istio.
func TestUnknownFieldOfTheMeshKeepsTheRest(t *testing.T) {
	text := `
connectTimeout: 3s
defaultInboundHttpRetryPolicy: {attempts: 2}
pathNormalization: {newer: 1}
defaultConfig: {concurrency: 3, newer: {a: 1}}
extensionProviders: [{name: a, newerProvider: {}}]
`
	objects, problems := Decode([]byte(text), "mesh.yaml")
	if len(objects) != 1 {
		t.Fatalf("%v, %v", objects, problems)
	}
	mesh := objects[0].Spec.(*meshconfig.MeshConfig)
	if mesh.GetConnectTimeout().AsDuration().Seconds() != 3 || mesh.GetDefaultConfig().GetConcurrency().GetValue() != 3 {
		t.Errorf("the rest: %v", mesh)
	}
	var unknown []string
	for _, p := range problems {
		if p.Reason == model.ReasonInvalid && p.Severity == model.SeverityWarning {
			unknown = append(unknown, p.Field)
		}
	}
	want := "defaultConfig.newer defaultInboundHttpRetryPolicy extensionProviders[0].newerProvider pathNormalization.newer"
	if strings.Join(unknown, " ") != want {
		t.Errorf("reported %v", unknown)
	}
}

const oldway = `
apiVersion: v1
kind: Service
metadata: {name: oldway}
spec: {ports: [{name: http, port: 80, targetPort: 9080}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: oldway, labels: {a: b}}
subsets:
- addresses: [{ip: 10.66.0.4, hostname: h, targetRef: {kind: Pod, name: p}}, {ip: "fd00::4"}, {ip: nowhere}]
  notReadyAddresses: [{ip: 10.66.0.5}]
  ports: [{name: http, port: 9080}]
`

// TestEndpointsAreMirrored reads Endpoints as the slices that a cluster makes of them.
func TestEndpointsAreMirrored(t *testing.T) {
	objects, problems := Decode([]byte(oldway), "x.yaml")
	if len(objects) != 3 || len(problems) != 1 || problems[0].Field != "subsets[0].addresses[2].ip" || problems[0].Object.String() != "Endpoints/default/oldway" {
		t.Fatalf("%v, %v", objects, problems)
	}
	four, six := objects[1].Spec.(*discoveryv1.EndpointSlice), objects[2].Spec.(*discoveryv1.EndpointSlice)
	if four.AddressType != discoveryv1.AddressTypeIPv4 || six.AddressType != discoveryv1.AddressTypeIPv6 || len(six.Endpoints) != 1 || len(four.Endpoints) != 2 {
		t.Fatalf("%v, %v", four, six)
	}
	first, second := four.Endpoints[0], four.Endpoints[1]
	if first.Addresses[0] != "10.66.0.4" || !*first.Conditions.Ready || first.TargetRef.Name != "p" || *first.Hostname != "h" || *second.Conditions.Ready {
		t.Errorf("%v", four.Endpoints)
	}
	if *four.Ports[0].Port != 9080 || *four.Ports[0].Name != "http" || objects[1].Labels[discoveryv1.LabelServiceName] != "oldway" || objects[1].Labels["a"] != "b" {
		t.Errorf("%v, labels %v", four.Ports, objects[1].Labels)
	}
}

// TestEndpointsOfASelectingServiceAreIdle gives a Service a selector and takes it away again.
func TestEndpointsOfASelectingServiceAreIdle(t *testing.T) {
	dir := t.TempDir()
	service, endpoints, _ := strings.Cut(oldway, "---\n")
	selecting := strings.Replace(service, "spec: {", "spec: {selector: {a: b}, ", 1)
	write(t, filepath.Join(dir, "a.yaml"), selecting)
	write(t, filepath.Join(dir, "b.yaml"), endpoints)
	r := start(t, dir)
	slices := func() (n int) {
		for key := range r.objects {
			if key.Kind == model.KindEndpointSlice {
				n++
			}
		}
		return n
	}
	idle := func() bool { return r.hasProblem("Endpoints/default/oldway: Service/default/oldway has a selector") }
	if slices() != 0 || !idle() {
		t.Fatalf("%v, %v", r.objects, r.problems)
	}
	write(t, filepath.Join(dir, "a.yaml"), service)
	r.eventually(t, "mirrored", func() bool { return slices() == 2 && !idle() })
	write(t, filepath.Join(dir, "a.yaml"), selecting)
	r.eventually(t, "idle again", func() bool { return slices() == 0 && idle() })
	if err := os.Remove(filepath.Join(dir, "b.yaml")); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "gone", func() bool { return len(r.objects) == 1 && len(r.problems) == 0 })
	if got := r.objects[key("oldway")].Spec.(*corev1.Service); len(got.Spec.Selector) != 1 {
		t.Errorf("%v", got)
	}
}
