package file

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	kjson "sigs.k8s.io/json"

	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// sameTyped compares what a reader of types makes of a document with what the strict decoder makes of it. It gives what
// that found, and whether the reader has read the document by itself.
func sameTyped(t *testing.T, r *typedReader, text string) (found string, itself bool) {
	t.Helper()
	var w jsonWriter
	if !w.plain([]byte(text)) {
		root, err := document{text: []byte(text), base: 1}.parse()
		w.reset()
		if err != nil || w.node(root, 0, nil) != nil {
			return "no YAML", false
		}
	}
	kind, ok := kinds.KubernetesOf(w.head.kind)
	if !ok {
		return "no kind of ours", false
	}
	want := kind.Make()
	wantStrict, wantErr := kjson.UnmarshalStrict(w.buf, want)
	got, gotStrict, gotErr := unmarshalStrict(r, w.buf, kind.Make)
	if fmt.Sprint(gotStrict) != fmt.Sprint(wantStrict) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) || !reflect.DeepEqual(got, want) {
		t.Fatalf("%s\n%s\nis read as %+v, %v, %v\n     want %+v, %v, %v", text, w.buf, got, gotStrict, gotErr, want, wantStrict, wantErr)
	}
	if wantErr != nil {
		return wantErr.Error(), r.read(w.buf, kind.Make())
	}
	return fmt.Sprint(wantStrict), r.read(w.buf, kind.Make())
}

const aPod = `apiVersion: v1
kind: Pod
metadata:
  name: a
  creationTimestamp: "2026-01-02T03:04:05Z"
  deletionTimestamp: null
  deletionGracePeriodSeconds: 30
  labels: {app: a, "x": ""}
  annotations: {}
  finalizers: []
  ownerReferences: [{apiVersion: apps/v1, kind: ReplicaSet, name: a-b, uid: c, controller: true}]
spec:
  hostNetwork: false
  priority: 5
  containers:
  - name: a
    image: b
    ports: [{containerPort: 8080, name: http, protocol: TCP}, {containerPort: 1}]
    resources: {limits: {cpu: 500m, memory: 1Gi}}
    readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 5}
    env: [{name: a, valueFrom: {fieldRef: {fieldPath: status.podIP}}}]
    volumeMounts: [{name: a, mountPath: /a}]
  initContainers: []
  nodeSelector: ~
  volumes: [{name: a, emptyDir: {}}, {name: b, configMap: {name: c, defaultMode: 420}}]
status:
  phase: Running
  podIPs: [{ip: 10.0.0.1}]
  conditions: [{type: Ready, status: "True"}]
`

const aService = `apiVersion: v1
kind: Service
metadata: {name: é, annotations: {a: "b\nc", d: "\"", e: <&>}}
spec:
  selector: {app: a}
  ports:
  - {name: http, port: 80, targetPort: 8080, appProtocol: http}
  - {name: tcp, port: 81, targetPort: tcp}
  internalTrafficPolicy: Local
`

const aSecret = `apiVersion: v1
kind: Secret
metadata: {name: a}
type: kubernetes.io/tls
data: {tls.crt: YQ==, tls.key: ""}
stringData: {a: b}
immutable: true
`

const aSlice = `apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
ports: [{name: http, port: 80}, {port: null}]
endpoints:
- {addresses: [10.0.0.1], conditions: {ready: true}, targetRef: {kind: Pod, name: a}, nodeName: b, zone: c}
- {addresses: [10.0.0.2], conditions: {ready: false, serving: true}, hints: {forZones: [{name: c}]}}
`

// Each value of some objects, put in the place of each other and of what it is not, is read as the strict decoder reads it.
func TestTypesAreReadAsTheStrictDecoderReadsThem(t *testing.T) {
	var r typedReader
	found := map[string]bool{}
	for _, text := range []string{aPod, aService, aSecret, aSlice} {
		if what, itself := sameTyped(t, &r, text); !itself || what != "[]" {
			t.Errorf("is not read: %s%s", text, what)
		}
		lines := strings.SplitAfter(text, "\n")
		for i, line := range lines {
			name, _, ok := strings.Cut(line, ": ")
			if !ok || i < 2 {
				continue
			}
			for _, value := range []string{"null", "5", "-1", "1.5", "99999999999", "99999999999999999999", "true", "x", `"5"`, `"é\n"`, "[]", "{}", "[null]", "[x]", "[[]]", "[{}]", "{x: y}", "{name: 5}", "{name: x, nam: y}", "[{name: x, port: 1}, {port: y}]", "2026-01-02T03:04:05Z"} {
				lines[i] = name + ": " + value + "\n"
				what, itself := sameTyped(t, &r, strings.Join(lines, ""))
				found[what] = true
				if itself && what != "[]" {
					t.Errorf("%s: %s: read in spite of %s", text, lines[i], what)
				}
			}
			lines[i] = line
		}
	}
	if len(found) < 100 {
		t.Errorf("%d different faults were found", len(found))
	}
}

func TestSamplesAreReadWithoutTheStrictDecoder(t *testing.T) {
	var r typedReader
	files, err := filepath.Glob("../../../samples/*/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	read := 0
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, doc := range splitDocuments(nil, text) {
			switch what, itself := sameTyped(t, &r, string(doc.text)); {
			case itself:
				read++
			case what != "no kind of ours":
				t.Errorf("%s:%d is left to the strict decoder: %s", name, doc.line, what)
			}
		}
	}
	if read < 10 {
		t.Errorf("%d documents were read", read)
	}
}

func FuzzTyped(f *testing.F) {
	for _, text := range []string{aPod, aService, aSecret, aSlice} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) { sameTyped(t, &typedReader{}, text) })
}
