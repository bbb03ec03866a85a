package file

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

func TestDecodeSamples(t *testing.T) {
	err := filepath.WalkDir("../../../samples", func(path string, e os.DirEntry, err error) error {
		if err != nil || !named(e.Name()) {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		objects, problems := Decode(data, path)
		if len(objects) == 0 {
			t.Errorf("%s: no objects", path)
		}
		for _, p := range problems {
			t.Errorf("%v", p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

const vsText = `
apiVersion: networking.istio.io/v1alpha3
kind: VirtualService
metadata:
  name: reviews
  creationTimestamp: "2026-01-02T03:04:05Z"
  labels: {a: b}
spec:
  hosts: [reviews]
  http:
  - timeout: 1.5s
    route:
    - destination: {host: reviews, subset: v1}
      weight: 90
`

func TestDecodeIstioKind(t *testing.T) {
	objects, problems := Decode([]byte("# first\n---\n"+vsText), "f.yaml")
	if len(objects) != 1 || len(problems) != 0 {
		t.Fatalf("%v %v", objects, problems)
	}
	o := objects[0]
	want := model.Key{Kind: model.KindVirtualService, Namespace: "default", Name: "reviews"}
	if o.Key != want || o.Origin != (model.Origin{File: "f.yaml", Line: 4}) || o.Labels["a"] != "b" {
		t.Errorf("%+v", o)
	}
	if !o.Created.Equal(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)) {
		t.Errorf("created %v", o.Created)
	}
	http := o.Spec.(*networking.VirtualService).GetHttp()[0]
	if http.GetTimeout().AsDuration() != 1500*time.Millisecond || http.GetRoute()[0].GetWeight() != 90 {
		t.Errorf("%v", http)
	}
}

func TestDecodeProblems(t *testing.T) {
	tests := map[string]struct {
		yaml     string
		objects  int
		line     int
		object   string
		field    string
		severity model.Severity
		reason   model.Reason
		message  string
	}{
		"unknown field of Istio": {
			yaml: strings.Replace(vsText, "weight: 90", "wieght: 90", 1), line: 14, object: "VirtualService/default/reviews",
			field: "spec.http[0].route[0].wieght", severity: model.SeverityError, reason: model.ReasonInvalid, message: `unknown field "wieght"`,
		},
		"wrong type in Istio": {
			yaml: strings.Replace(vsText, "weight: 90", "weight: lots", 1), line: 14, object: "VirtualService/default/reviews",
			field: "spec.http[0].route[0].weight", severity: model.SeverityError, reason: model.ReasonInvalid, message: "lots",
		},
		"wrong name of an enumeration, among others on its line": {
			yaml: "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: b, trafficPolicy: {tls: {mode: SIMPEL, sni: c}}, subsets: [{name: v1}]}\n",
			line: 4, object: "DestinationRule/default/a",
			field: "spec.trafficPolicy.tls.mode", severity: model.SeverityError, reason: model.ReasonInvalid, message: "SIMPEL",
		},
		"names that an enumeration has": {
			yaml: "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: a}\nspec: {selector: {matchLabels: {a: b}}, portLevelMtls: {80: {mode: LAX}}}\n",
			line: 4, object: "PeerAuthentication/default/a", field: "spec.portLevelMtls.80.mode", severity: model.SeverityError, reason: model.ReasonInvalid,
			message: `"LAX" is none of its values; use UNSET, DISABLE, PERMISSIVE, STRICT`,
		},
		"a text without quotes": {
			yaml: "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: b, subsets: [{name: v1, labels: {canary: yes}}]}\n",
			line: 4, object: "DestinationRule/default/a", field: "spec.subsets[0].labels.canary", severity: model.SeverityError, reason: model.ReasonInvalid,
			message: `true is a truth value of YAML, as yes, no, on and off are without quotes, and this is a text; write it in quotes`,
		},
		"a text of digits without quotes": {
			yaml: "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: b, subsets: [{name: v1, labels: {version: 1.5}}]}\n",
			line: 4, object: "DestinationRule/default/a", field: "spec.subsets[0].labels.version", severity: model.SeverityError, reason: model.ReasonInvalid,
			message: `1.5 is a number, and this is a text; write it in quotes, as "1.5"`,
		},
		"an object in the place of a list": {
			yaml: "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: [b], http: [{match: {uri: {prefix: /}}, route: [{destination: {host: b}}]}]}\n",
			line: 4, object: "VirtualService/default/a", field: "spec.http[0].match", severity: model.SeverityError, reason: model.ReasonInvalid,
			message: "is an object, and has to be a list",
		},
		"a text in the place of an object": {
			yaml: "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: [b], http: [{match: [{uri: /}], route: [{destination: {host: b}}]}]}\n",
			line: 4, object: "VirtualService/default/a", field: "spec.http[0].match[0].uri", severity: model.SeverityError, reason: model.ReasonInvalid,
			message: "is a text, and has to be an object",
		},
		"two fields of which one may be set": {
			yaml: "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: b, trafficPolicy: {loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}}}\n",
			line: 4, object: "DestinationRule/default/a", field: "spec.trafficPolicy.loadBalancer.consistentHash", severity: model.SeverityError, reason: model.ReasonInvalid,
			message: "may not stand beside another of simple, consistentHash; keep one of them",
		},
		"one of two that are alike": {
			yaml: "apiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: \u00e9}\nspec:\n  egress: [{captureMode: NONE, hosts: ['\u00e9/*'], port: {number: 1}}, {captureMode: SOME, hosts: ['*/*']}]\n",
			line: 5, object: "Sidecar/default/\u00e9",
			field: "spec.egress[1].captureMode", severity: model.SeverityError, reason: model.ReasonInvalid, message: "SOME",
		},
		"in an object as an API server writes it": {
			yaml: `{"apiVersion":"security.istio.io/v1","kind":"PeerAuthentication","metadata":{"name":"a"},"spec":{"mtls":{"mode":"STRICT"},"portLevelMtls":{"80":{"mode":"LAX"}},"selector":{"matchLabels":{"a":"b"}}}}`,
			line: 1, object: "PeerAuthentication/default/a",
			field: "spec.portLevelMtls.80.mode", severity: model.SeverityError, reason: model.ReasonInvalid, message: "LAX",
		},
		"unknown field beside others on its line": {
			yaml: "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec: {host: b, trafficPolicy: {tls: {mod: SIMPLE, sni: c}}}\n",
			line: 4, object: "DestinationRule/default/a",
			field: "spec.trafficPolicy.tls.mod", severity: model.SeverityError, reason: model.ReasonInvalid, message: `unknown field "mod"`,
		},
		"wrong duration": {
			yaml: strings.Replace(vsText, "1.5s", "soon", 1), line: 11, object: "VirtualService/default/reviews",
			field: "spec.http[0].timeout", severity: model.SeverityError, reason: model.ReasonInvalid, message: "soon",
		},
		"unknown field of Kubernetes": {
			yaml: "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  selektor: {a: b}\n", objects: 1, line: 5,
			object: "Service/default/a", field: "spec.selektor", severity: model.SeverityWarning, reason: model.ReasonInvalid, message: "unknown field",
		},
		"wrong type in Kubernetes": {
			yaml: "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: http}]}\n", line: 1,
			object: "Service/default/a", severity: model.SeverityError, reason: model.ReasonInvalid, message: "does not parse",
		},
		"no YAML": {
			yaml: "a: b\n---\nkind: {\n", line: 3, severity: model.SeverityError, reason: model.ReasonInvalid, message: "does not parse",
		},
		"not translated": {
			yaml: "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {name: x}\n", line: 1, object: "WasmPlugin/default/x",
			severity: model.SeverityError, reason: model.ReasonNotTranslated, message: "not translated",
		},
		"Gateway API": {
			yaml: "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: x, namespace: n}\n", line: 1, object: "Gateway/n/x",
			severity: model.SeverityError, reason: model.ReasonNotTranslated, message: "not translated",
		},
		"unknown version": {
			yaml: strings.Replace(vsText, "v1alpha3", "v7", 1), line: 2, object: "VirtualService/default/reviews",
			severity: model.SeverityError, reason: model.ReasonInvalid, message: "did you mean networking.istio.io/v1 VirtualService?",
		},
		"no name": {
			yaml: "apiVersion: v1\nkind: Pod\n", line: 1, object: "Pod/default/", field: "metadata.name",
			severity: model.SeverityError, reason: model.ReasonInvalid, message: "missing",
		},
		"tag that is wrong": { // what it stands before is no JSON, and would be more entries
			yaml: vsText + "status: !!bool '1, \"metadata\": {\"name\": \"other\"}'\n", line: 15, object: "VirtualService/default/reviews",
			severity: model.SeverityError, reason: model.ReasonInvalid, message: "has the tag !!bool before",
		},
		"key twice": {
			yaml: "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nspec:\n  nodeName: a\n  nodeName: b\n", line: 6,
			object: "Pod/default/a", severity: model.SeverityError, reason: model.ReasonInvalid, message: "nodeName",
		},
		"mesh configuration": {
			yaml: "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    trustDomian: x\n",
			line: 1, object: "MeshConfig/istio-system/istio", objects: 2, field: "trustDomian", severity: model.SeverityWarning, reason: model.ReasonInvalid, message: "unknown",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			objects, problems := Decode([]byte(tt.yaml), "f.yaml")
			if len(objects) != tt.objects {
				t.Errorf("objects: %v", objects)
			}
			if len(problems) == 0 {
				t.Fatal("no problem")
			}
			p := problems[len(problems)-1]
			if p.Origin.File != "f.yaml" || p.Origin.Line != tt.line || p.Field != tt.field ||
				p.Severity != tt.severity || p.Reason != tt.reason || !strings.Contains(p.Message, tt.message) {
				t.Errorf("got %+v", p)
			}
			if tt.object != "" && p.Object.String() != tt.object {
				t.Errorf("object %v", p.Object)
			}
		})
	}
}

func TestDecodeLists(t *testing.T) {
	text := "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Namespace\n  metadata: {name: a, namespace: ignored}\n- apiVersion: v1\n  kind: ServiceAccount\n  metadata: {name: b, namespace: c}\n- apiVersion: rbac.authorization.k8s.io/v1\n  kind: Role\n  metadata: {name: r}\n"
	objects, problems := Decode([]byte(text), "f.yaml")
	if len(objects) != 2 || len(problems) != 0 {
		t.Fatalf("%v %v", objects, problems)
	}
	if objects[0].String() != "Namespace/a" || objects[1].String() != "ServiceAccount/c/b" || objects[1].Origin.Line != 7 {
		t.Errorf("%v, %v at %v", objects[0].Key, objects[1].Key, objects[1].Origin)
	}
	json := `{"apiVersion":"v1","kind":"ServiceAccount","metadata":{"name":"j"}}`
	if objects, problems := Decode([]byte(json), "f.json"); len(objects) != 1 || len(problems) != 0 {
		t.Errorf("JSON: %v %v", objects, problems)
	}
}

func TestDecodeMeshConfig(t *testing.T) {
	objects, problems := Decode([]byte("accessLogFile: /dev/stdout\nenableAutoMtls: false\nenableTracing: false\ndefaultConfig: {discoveryAddress: 'x:1'}\n"), "dir/mesh.yaml")
	if len(objects) != 1 || len(problems) != 0 {
		t.Fatalf("%v %v", objects, problems)
	}
	mesh := objects[0].Spec.(*meshconfig.MeshConfig)
	if mesh.GetAccessLogFile() != "/dev/stdout" || mesh.GetEnableAutoMtls().GetValue() || mesh.GetEnableTracing() {
		t.Errorf("written fields: %v", mesh)
	}
	if mesh.GetTrustDomain() != "cluster.local" || mesh.GetConnectTimeout().AsDuration() != 10*time.Second ||
		mesh.GetDefaultConfig().GetDiscoveryAddress() != "x:1" || mesh.GetDefaultConfig().GetStatusPort() != 15020 {
		t.Errorf("defaults: %v", mesh)
	}
}

// As in Istio, a value that is unknown refuses the whole mesh configuration, wherever it stands, so that what is in
// force stays. The first value of an enumeration, as REGISTRY_ONLY, would stand in its place.
func TestUnknownValuesRefuseAMeshConfig(t *testing.T) {
	for text, want := range map[string]string{
		"outboundTrafficPolicy: {mode: REGISTRY}":                                                   `outboundTrafficPolicy.mode: "REGISTRY" is none of its values; use REGISTRY_ONLY, ALLOW_ANY`,
		"ingressControllerMode: SOMETIMES":                                                          `ingressControllerMode: "SOMETIMES" is none`,
		"meshMTLS: {minProtocolVersion: TLSV9}\nunknown: 1":                                         `meshMTLS.minProtocolVersion: "TLSV9" is none`,
		"extensionProviders:\n- {name: a, zipkin: {service: a, port: 1, traceContextOption: BOTH}}": `extensionProviders[0].zipkin.traceContextOption: "BOTH" is none`,
		"defaultConfig: {proxyHeaders: {forwardedClientCert: KEEP}}":                                `defaultConfig.proxyHeaders.forwardedClientCert: "KEEP" is none`,
		"defaultConfig: {concurrency: 1}\noutboundTrafficPolicy: {mode: 1}":                         "",
	} {
		objects, problems := Decode([]byte(text+"\n"), "dir/mesh.yaml")
		told := ""
		for _, p := range problems {
			told += fmt.Sprintf("%s %s: %s\n", p.Severity, p.Field, p.Message)
		}
		if (len(objects) == 0) != (want != "") || (told == "") != (want == "") || want != "" && !strings.HasPrefix(told, "Error "+want) {
			t.Errorf("%s: %d objects, %q", text, len(objects), told)
		}
	}
}

// The networks of a mesh stand in a file of their own, or beside its configuration in the ConfigMap.
func TestDecodeMeshNetworks(t *testing.T) {
	const bare = "networks:\n  far:\n    endpoints: [{fromCidr: 10.9.0.0/16}]\n    gateways: [{address: 203.0.113.1, port: 443}]\n"
	inMap := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: 'trustDomain: a'\n  meshNetworks: |\n    " +
		strings.ReplaceAll(strings.TrimSpace(bare), "\n", "\n    ")
	const far = `{"far":{"endpoints":[{"fromCidr":"10.9.0.0/16"}],"gateways":[{"address":"203.0.113.1","port":443}]}}`
	for name, c := range map[string]struct{ file, text, networks, problem string }{
		"a file":              {"dir/meshNetworks.yaml", bare, far, ""},
		"a ConfigMap":         {"dir/a.yaml", inMap, far, ""},
		"an empty file":       {"dir/meshNetworks.yaml", "# none\n{}\n", "null", ""},
		"no networks":         {"dir/meshNetworks.yaml", "networks: [a]\n", "", "Error MeshNetworks/istio-system/istio : mesh networks:"},
		"no text":             {"dir/a.yaml", strings.ReplaceAll(inMap, "networks:", "networks: ]"), "", "Error MeshNetworks/istio-system/istio : MeshNetworks:"},
		"an unknown field":    {"dir/meshNetworks.yaml", bare + "    endpoint: []\n", far, "Warning MeshNetworks/istio-system/istio networks[far].endpoint: the field is unknown"},
		"objects in the file": {"dir/meshNetworks.yaml", inMap, far, ""},
		"another file":        {"dir/networks.yaml", bare, "", "it has no apiVersion or no kind"},
	} {
		t.Run(name, func(t *testing.T) {
			objects, problems := Decode([]byte(c.text), c.file)
			got := ""
			for _, o := range objects {
				if spec, ok := o.Spec.(*meshconfig.MeshNetworks); ok && o.Key == (model.Key{Kind: model.KindMeshNetworks, Namespace: "istio-system", Name: "istio"}) {
					text, err := json.Marshal(spec.GetNetworks())
					if err != nil {
						t.Fatal(err)
					}
					got = string(text)
				}
			}
			if got != c.networks {
				t.Errorf("networks %s, want %s; %v", got, c.networks, problems)
			}
			told := ""
			for _, p := range problems {
				told += fmt.Sprintf("%s %v %s: %s\n", p.Severity, p.Object, p.Field, p.Message)
			}
			if (told == "") != (c.problem == "") || !strings.Contains(told, c.problem) {
				t.Errorf("problems %q, want %q", told, c.problem)
			}
		})
	}
}

func TestYAMLMeansWhatItMeansToKubectl(t *testing.T) {
	text := "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec:\n  publishNotReadyAddresses: yes\n" +
		"  externalName: &n \"yes\"\n  clusterIP: *n\n  selector: &s {a: b}\n  ports:\n  - &p {port: 0x50, name: http}\n  - <<: *p\n    name: other\n"
	objects, problems := Decode([]byte(text), "f.yaml")
	if len(objects) != 1 || len(problems) != 0 {
		t.Fatalf("%v %v", objects, problems)
	}
	spec := objects[0].Spec.(*corev1.Service).Spec
	if !spec.PublishNotReadyAddresses || spec.ExternalName != "yes" || spec.ClusterIP != "yes" || spec.Ports[0].Port != 80 {
		t.Errorf("%+v", spec)
	}
	if spec.Ports[1].Port != 80 || spec.Ports[1].Name != "other" {
		t.Errorf("merged: %+v", spec.Ports[1])
	}
}

func TestDecodeIsBounded(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nx0: &x0 [1,1,1,1,1,1,1,1,1,1]\n")
	for i := 1; i < 12; i++ {
		fmt.Fprintf(&bomb, "x%d: &x%d [*x%d,*x%d,*x%d,*x%d,*x%d,*x%d,*x%d,*x%d]\n", i, i, i-1, i-1, i-1, i-1, i-1, i-1, i-1, i-1)
	}
	inputs := map[string]string{
		"alias bomb": bomb.String(),
		"deep":       "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nx: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000),
		"recursive":  "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nx: &x {<<: *x}\n",
		"self":       "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\nx: &x [*x]\n",
		"large":      strings.Repeat("#", MaxFileBytes+1),
	}
	for name, text := range inputs {
		t.Run(name, func(t *testing.T) {
			objects, problems := Decode([]byte(text), "f.yaml")
			if len(objects) != 0 || len(problems) != 1 {
				t.Errorf("%v %v", objects, problems)
			}
		})
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(vsText))
	f.Add([]byte("a: &a [*a]\n---\nkind: List\napiVersion: v1\nitems: [1, {}]\n"))
	f.Add([]byte("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata: {mesh: 'trustDomain: a'}\n"))
	f.Add([]byte("apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 1, targetPort: x}]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		objects, problems := Decode(data, "f.yaml")
		lines := strings.Count(string(data), "\n") + 1
		for _, o := range objects {
			if o.Name == "" || o.Spec == nil || o.Origin.Line < 1 || o.Origin.Line > lines {
				t.Errorf("object %+v", o)
			}
		}
		for _, p := range problems {
			if p.Message == "" || p.Origin.Line < 1 || p.Origin.Line > lines+1 {
				t.Errorf("problem %+v of %d lines", p, lines)
			}
		}
	})
}
