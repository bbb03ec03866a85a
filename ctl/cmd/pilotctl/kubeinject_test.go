package main

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
	"github.com/pilothouse-mesh/pilothouse/ctl/usage"
	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/webhook"
)

// injection is what an installation says of injection: in files, as users save the ConfigMaps, and as its webhook.
type injection struct {
	*testing.T
	flags   []string
	handler http.Handler
}

func newInjection(t *testing.T, settings ...string) *injection {
	t.Helper()
	plan, err := operator.Settings{Profile: "minimal", Set: settings}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	objects, err := plan.All(false)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{}
	for _, o := range objects {
		data, _ := o.Object["data"].(map[string]any)
		for _, part := range []string{"config", "mesh", "values"} {
			if text, ok := data[part].(string); ok && o.GetKind() == "ConfigMap" {
				texts[part] = text
			}
		}
	}
	dir := t.TempDir()
	file := func(part string) string {
		text, ok := texts[part]
		if !ok {
			t.Fatalf("the installation has no ConfigMap with %s", part)
		}
		path := filepath.Join(dir, part)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	mesh, err := model.ParseMeshConfig([]byte(texts["mesh"]))
	if err != nil {
		t.Fatal(err)
	}
	return &injection{
		T: t, flags: []string{"--injectConfigFile", file("config"), "--meshConfigFile", file("mesh"), "--valuesFile", file("values")},
		handler: webhook.Handler(webhook.Options{
			Injector: func(cluster, network string) (*inject.Injector, error) {
				return inject.New(inject.Options{
					Mesh: mesh, Config: []byte(texts["config"]), Values: []byte(texts["values"]),
					ClusterID: cluster, Network: network, NativeSidecar: true,
				})
			},
			Registerer: prometheus.NewRegistry(), Logger: slog.New(slog.DiscardHandler),
		}),
	}
}

// command runs pilotctl kube-inject with the files.
func (in *injection) command(stdin string, args ...string) (stdout, stderr string, err error) {
	var out, said bytes.Buffer
	cmd := newRoot()
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&said)
	cmd.SetArgs(append(append([]string{"kube-inject"}, in.flags...), args...))
	err = cmd.ExecuteContext(in.Context())
	return out.String(), said.String(), err
}

// offline gives the documents that the command makes of others.
func (in *injection) offline(text string) (documents []map[string]any) {
	in.Helper()
	out, said, err := in.command(text, "-f", "-", "-n", "shop")
	if err != nil || said != "" {
		in.Fatalf("%v, on stderr %q", err, said)
	}
	for text := range strings.SplitSeq(strings.TrimSuffix(out, "---\n"), "\n---\n") {
		documents = append(documents, read(in.T, text))
	}
	return documents
}

// online gives the pod that an API server makes of one when it asks the webhook.
func (in *injection) online(pod map[string]any) map[string]any {
	in.Helper()
	object, err := json.Marshal(pod)
	if err != nil {
		in.Fatal(err)
	}
	body, err := json.Marshal(admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request:  &admissionv1.AdmissionRequest{UID: "u", Namespace: "shop", Operation: admissionv1.Create, Object: runtime.RawExtension{Raw: object}},
	})
	if err != nil {
		in.Fatal(err)
	}
	r := httptest.NewRequestWithContext(in.Context(), http.MethodPost, "/inject", bytes.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	w := httptest.NewRecorder()
	in.handler.ServeHTTP(w, r)
	var review admissionv1.AdmissionReview
	if err := json.Unmarshal(w.Body.Bytes(), &review); err != nil || review.Response == nil || review.Response.Patch == nil {
		in.Fatalf("%d %s: %v", w.Code, w.Body, err)
	}
	patch, err := jsonpatch.DecodePatch(review.Response.Patch)
	if err != nil {
		in.Fatal(err)
	}
	patched, err := patch.Apply(object)
	if err != nil {
		in.Fatal(err)
	}
	return read(in.T, string(patched))
}

func read(t *testing.T, text string) (object map[string]any) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(text), &object); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	return object
}

// at gives what an object has at a path.
func at(object map[string]any, path ...string) map[string]any {
	for _, field := range path {
		object, _ = object[field].(map[string]any)
	}
	return object
}

// probeToken is the secret of a pod, which no other has.
var probeToken = regexp.MustCompile(`"[0-9a-f]{32}"`)

// stored gives metadata and spec of a pod as an API server keeps them, with its defaults, less what is the one pod's:
// the secret of its probes, and what its controller says.
func stored(t *testing.T, object map[string]any) string {
	t.Helper()
	text, err := json.Marshal(map[string]any{"metadata": object["metadata"], "spec": object["spec"]})
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(text, &pod); err != nil {
		t.Fatal(err)
	}
	pod.Namespace, pod.Name, pod.GenerateName, pod.OwnerReferences = "", "", "", nil
	delete(pod.Labels, "pod-template-hash")
	setDefaults(&pod)
	if text, err = json.Marshal(pod); err != nil {
		t.Fatal(err)
	}
	return probeToken.ReplaceAllString(string(text), `"SECRET"`)
}

// setDefaults fills in what an API server does, as far as the pods here have it.
func setDefaults(pod *corev1.Pod) {
	for _, containers := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range containers {
			c := &containers[i]
			for j := range c.Ports {
				if c.Ports[j].Protocol == "" {
					c.Ports[j].Protocol = corev1.ProtocolTCP
				}
			}
			for _, p := range []*corev1.Probe{c.ReadinessProbe, c.LivenessProbe, c.StartupProbe} {
				if p == nil {
					continue
				}
				if p.TimeoutSeconds == 0 {
					p.TimeoutSeconds = 1
				}
				if p.HTTPGet != nil && p.HTTPGet.Scheme == "" {
					p.HTTPGet.Scheme = corev1.URISchemeHTTP
				}
				if p.HTTPGet != nil && p.HTTPGet.Path == "" {
					p.HTTPGet.Path = "/"
				}
				if p.GRPC != nil && p.GRPC.Service == nil {
					p.GRPC.Service = new(string)
				}
			}
			if c.Lifecycle != nil && c.Lifecycle.PreStop != nil && c.Lifecycle.PreStop.HTTPGet != nil {
				get := c.Lifecycle.PreStop.HTTPGet
				get.Scheme = corev1.URISchemeHTTP
			}
		}
	}
}

// asked gives the pod that a controller asks an API server for, as that shows it to the webhook.
func asked(t *testing.T, template map[string]any, kind, owner string) map[string]any {
	t.Helper()
	text, err := json.Marshal(map[string]any{"apiVersion": "v1", "kind": "Pod", "metadata": template["metadata"], "spec": template["spec"]})
	if err != nil {
		t.Fatal(err)
	}
	var pod corev1.Pod
	if err := json.Unmarshal(text, &pod); err != nil {
		t.Fatal(err)
	}
	if owner != "" {
		controller := true
		pod.GenerateName = owner + "-"
		version := map[string]string{"ReplicaSet": "apps/v1", "Job": "batch/v1"}[kind]
		pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: version, Kind: kind, Name: owner, Controller: &controller}}
	}
	if kind == "ReplicaSet" {
		pod.Labels["pod-template-hash"] = "5f"
	}
	setDefaults(&pod)
	if text, err = json.Marshal(pod); err != nil {
		t.Fatal(err)
	}
	return read(t, string(text))
}

const injectedTemplate = `
metadata:
  labels: {app: web, version: v1}
  annotations: {proxy.istio.io/config: "concurrency: 3", example.com/odd: "a: 'b'\n---\n"}
spec:
  serviceAccountName: web
  terminationGracePeriodSeconds: 7
  initContainers: [{name: migrate, image: web}]
  containers:
  - name: web
    image: web
    ports: [{name: http, containerPort: 8080}, {containerPort: 53, protocol: UDP}]
    readinessProbe: {httpGet: {port: http}}
    livenessProbe: {grpc: {port: 9000}, timeoutSeconds: 3}
    lifecycle: {preStop: {httpGet: {path: /stop, port: 8080}}}
  - name: log
    image: log
    startupProbe: {tcpSocket: {port: 9001}}
  volumes: [{name: data, emptyDir: {}}]
`

// injectedManifests are workloads around the template; their pods are of such an owner.
var injectedManifests = []struct {
	name, text, kind, owner string
	path                    []string
}{
	{"Pod", "apiVersion: v1\nkind: Pod" + strings.Replace(injectedTemplate, "metadata:", "metadata:\n  name: web\n  namespace: shop", 1), "", "", nil},
	{"Deployment", "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec:\n  template:" + shifted(4), "ReplicaSet", "web-5f", []string{"spec", "template"}},
	{"CronJob", "apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: web}\nspec:\n  schedule: 0 0 * * *\n  jobTemplate:\n    spec:\n      template:" + shifted(8), "Job", "web-28938241", []string{"spec", "jobTemplate", "spec", "template"}},
}

func shifted(by int) string {
	return strings.ReplaceAll(strings.TrimSuffix(injectedTemplate, "\n"), "\n", "\n"+strings.Repeat(" ", by)) + "\n"
}

// TestKubeInjectGivesTheWebhooksPods compares, byte by byte, what becomes of manifests offline, by the installation's
// own files, and of their pods in a cluster.
func TestKubeInjectGivesTheWebhooksPods(t *testing.T) {
	for name, settings := range map[string][]string{
		"default": nil,
		"of another mesh": {
			"meshConfig.trustDomain=example.org", "meshConfig.defaultConfig.proxyMetadata.KEY=value", "values.global.network=net1",
			"values.global.multiCluster.clusterName=c1", "values.global.proxy.holdApplicationUntilProxyStarts=true",
			"values.sidecarInjectorWebhook.injectedAnnotations.example=yes", "values.global.proxy.logLevel=debug",
		},
	} {
		t.Run(name, func(t *testing.T) {
			in := newInjection(t, settings...)
			var all, items []string
			for _, m := range injectedManifests {
				all = append(all, m.text)
				items = append(items, "- "+strings.ReplaceAll(strings.TrimSpace(m.text), "\n", "\n  "))
			}
			together := in.offline("---\n" + strings.Join(all, "---\n"))
			if len(together) != len(injectedManifests) {
				t.Fatalf("%d documents became %d", len(injectedManifests), len(together))
			}
			listed := in.offline("apiVersion: v1\nkind: List\nitems:\n" + strings.Join(items, "\n"))[0]["items"].([]any)
			for i, m := range injectedManifests {
				want := stored(t, in.online(asked(t, at(read(t, m.text), m.path...), m.kind, m.owner)))
				alone := in.offline(m.text)[0]
				again, err := yaml.Marshal(alone)
				if err != nil {
					t.Fatal(err)
				}
				for how, got := range map[string]map[string]any{
					"alone": alone, "among others": together[i], "in a list": listed[i].(map[string]any), "again": in.offline(string(again))[0],
				} {
					if d := cmp.Diff(strings.Split(want, ","), strings.Split(stored(t, at(got, m.path...)), ",")); d != "" {
						t.Errorf("%s %s: -webhook +kube-inject:\n%s", m.name, how, d)
					}
				}
				// The webhook has nothing to add to what was injected offline.
				if d := cmp.Diff(want, stored(t, in.online(asked(t, at(alone, m.path...), m.kind, m.owner)))); d != "" {
					t.Errorf("%s, injected offline, and then by the webhook:\n%s", m.name, d)
				}
			}
		})
	}
}

// TestKubeInjectFails: each fault names the file, and nothing is written.
func TestKubeInjectFails(t *testing.T) {
	in := newInjection(t)
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pod, wrong := write("pod.yaml", injectedManifests[0].text), write("wrong.yaml", "a: [")
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no file":                {nil, usage.Exit, "-f"},
		"an argument":            {[]string{"-f", pod, pod}, usage.Exit, "pod.yaml"},
		"an unknown flag":        {[]string{"-f", pod, "--valueFile", pod}, usage.Exit, "did you mean --valuesFile"},
		"no manifest":            {[]string{"-f", dir + "/none.yaml"}, exitFailure, "none.yaml"},
		"a manifest of no YAML":  {[]string{"-f", wrong}, exitFailure, "wrong.yaml"},
		"no file of the config":  {[]string{"-f", pod, "--injectConfigFile", dir + "/none"}, exitFailure, dir + "/none"},
		"a config of no YAML":    {[]string{"-f", pod, "--injectConfigFile", wrong}, exitFailure, "wrong.yaml"},
		"a mesh of no YAML":      {[]string{"-f", pod, "--meshConfigFile", wrong}, exitFailure, "wrong.yaml"},
		"values of no YAML":      {[]string{"-f", pod, "--valuesFile", wrong}, exitFailure, "wrong.yaml"},
		"a wrong selector":       {[]string{"-f", pod, "--injectConfigFile", write("selector", "neverInjectSelector: [{matchExpressions: [{key: a, operator: Odd}]}]")}, exitFailure, "neverInjectSelector[0]"},
		"a pod with a bad wish":  {[]string{"-f", write("wish.yaml", strings.Replace(injectedManifests[0].text, "annotations: {", "annotations: {status.sidecar.istio.io/port: here, ", 1))}, exitFailure, "status.sidecar.istio.io/port"},
		"a pod with no template": {[]string{"-f", write("template.yaml", "kind: Deployment\nmetadata: {name: d}\n")}, exitFailure, "Deployment/d: spec.template is missing"},
	} {
		to := write("to", "as it was")
		out, _, err := in.command("", append(slices.Clone(c.args), "-o", to)...)
		code := codeOf(err)
		if err == nil || code != c.code || !strings.Contains(err.Error(), c.want) || out != "" {
			t.Errorf("%s: exit code %d, %v, printed %q; wanted %d, %s", name, code, err, out, c.code, c.want)
		}
		if text, err := os.ReadFile(to); err != nil || string(text) != "as it was" {
			t.Errorf("%s: the output is %q, %v", name, text, err)
		}
	}
	if _, _, err := in.command("", "-f", pod, "-o", pod); err != nil {
		t.Error(err)
	}
	if text, err := os.ReadFile(pod); err != nil || !strings.Contains(string(text), "name: istio-proxy") {
		t.Errorf("injected in place: %v, %s", err, text)
	}
	_, said, err := in.command("kind: Pod\nmetadata: {name: p}\nspec: {hostNetwork: true, containers: [{name: a}]}", "-f", "-", "--injectConfigFile", write("policy", "policy: sometimes"))
	if err != nil || !strings.Contains(said, "warning: Pod/p gets no sidecar") || !strings.Contains(said, `warning: injection config: policy: "sometimes"`) {
		t.Errorf("%v, on stderr %q", err, said)
	}
}
