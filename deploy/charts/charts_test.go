package charts

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	sigsyaml "sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

func render(t *testing.T, r Release) []*unstructured.Unstructured {
	t.Helper()
	if r.Namespace == "" {
		r.Namespace = "istio-system"
	}
	objects, err := r.Objects()
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

func find(objects []*unstructured.Unstructured, kind, name string) *unstructured.Unstructured {
	at := slices.IndexFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetKind() == kind && o.GetName() == name })
	if at < 0 {
		return &unstructured.Unstructured{Object: map[string]any{}}
	}
	return objects[at]
}

func TestDefinitionsAreThoseOfTheModule(t *testing.T) {
	dir, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "istio.io/api").Output()
	if err != nil {
		t.Fatal(err)
	}
	want, err := os.ReadFile(filepath.Join(strings.TrimSpace(string(dir)), "kubernetes/customresourcedefinitions.gen.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := files.ReadFile("base/files/crd-all.gen.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != string(want) {
		t.Error("base/files/crd-all.gen.yaml is another version's; run `make crds`")
	}
}

// A kind whose resource has another name than its definition would never be read of an API server.
func TestEveryKindThatIsReadIsDefined(t *testing.T) {
	defined := map[string]bool{}
	for _, d := range render(t, Release{Chart: Base}) {
		defined[d.GetName()] = true
	}
	for kind, k := range kinds.OfIstio() {
		if name := kinds.Resource(kind) + "." + k.Group; !defined[name] {
			t.Errorf("%s is not defined as %s", kind, name)
		}
	}
}

func TestExcludedDefinitions(t *testing.T) {
	const excluded = "wasmplugins.extensions.istio.io"
	all := render(t, Release{Chart: Base})
	some := render(t, Release{Chart: Base, Values: map[string]any{"base": map[string]any{"excludedCRDs": []any{excluded}}}})
	if len(some) != len(all)-1 || find(some, "CustomResourceDefinition", excluded).GetName() != "" {
		t.Errorf("%d of %d definitions", len(some), len(all))
	}
	if none := render(t, Release{Chart: Base, Values: map[string]any{"base": map[string]any{"enableCRDTemplates": false}}}); len(none) != 0 {
		t.Errorf("%d definitions that nobody wants", len(none))
	}
}

// TestHelmRendersTheSame loads each chart from its directory as `helm install` does.
func TestHelmRendersTheSame(t *testing.T) {
	for _, r := range everything {
		c, err := loader.LoadDir(r.Chart)
		if err != nil {
			t.Fatal(err)
		}
		values, err := util.ToRenderValues(c, deepCopy(r.Values), common.ReleaseOptions{Name: r.Name, Namespace: "istio-system", IsInstall: true, Revision: 1}, common.DefaultCapabilities)
		if err != nil {
			t.Fatal(err)
		}
		texts, err := engine.Render(c, values)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{}
		for _, text := range texts {
			objects, err := decode([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objects {
				want[o.GetKind()+"/"+o.GetName()] = o.Object
			}
		}
		got := map[string]any{}
		for _, o := range render(t, r) {
			got[o.GetKind()+"/"+o.GetName()] = o.Object
		}
		if d := gocmp.Diff(want, got); d != "" {
			t.Errorf("chart %s: -Helm +ours\n%s", r.Chart, d)
		}
	}
}

// variable is the name of an environment variable in source.
var variable = regexp.MustCompile(`"([A-Z][A-Z0-9_]{4,})"`)

// everything are releases that make all that the charts can.
var everything = []Release{
	{Chart: Base, Name: "istio-base"},
	{Chart: Istiod, Name: "istiod", Values: map[string]any{
		"autoscaleMin": 2, "revisionTags": []any{"prod", "default"}, "env": map[string]any{"GOGC": 50},
		"global": map[string]any{"networkPolicy": map[string]any{"enabled": true}, "imagePullSecrets": []any{"key"}},
	}},
	{Chart: Istiod, Name: "istiod-canary", Values: map[string]any{
		"revision": "canary", "pilot": map[string]any{"autoscaleEnabled": false, "replicaCount": 3},
		"sidecarInjectorWebhook": map[string]any{"enableNamespacesByDefault": true},
	}},
	{Chart: Gateway, Name: "istio-ingressgateway", Values: map[string]any{
		"podDisruptionBudget": map[string]any{"minAvailable": 1}, "networkPolicy": map[string]any{"enabled": true},
		"env": map[string]any{"A": true}, "labels": map[string]any{"istio": "edge", "team": "a"},
	}},
	{Chart: Gateway, Name: "nodes", Values: map[string]any{"kind": "DaemonSet", "service": map[string]any{"type": "None"}}},
}

func TestRevisionsShareNoName(t *testing.T) {
	names := map[string]bool{}
	for _, revision := range []string{"", "canary"} {
		for _, o := range render(t, Release{Chart: Istiod, Name: "istiod" + revision, Values: map[string]any{"revision": revision}}) {
			name := o.GetKind() + "/" + o.GetNamespace() + "/" + o.GetName()
			if names[name] {
				t.Errorf("%s is of both revisions", name)
			}
			names[name] = true
		}
	}
}

func TestAValueThatMeansNothingIsRefused(t *testing.T) {
	for chart, values := range map[string]map[string]any{
		Istiod: {"pilot": map[string]any{"env": map[string]any{"PILOT_DEBOUNCE_AFTER": "1s"}}}, Base: {"defaultRevison": "x"},
		Gateway: {"service": map[string]any{"externalName": "x"}},
	} {
		if _, err := (Release{Chart: chart, Namespace: "istio-system", Values: values}).Objects(); err == nil || !strings.Contains(err.Error(), "not allowed") {
			t.Errorf("%s: %v", chart, err)
		}
	}
	if _, err := (Release{Chart: Istiod, Namespace: "elsewhere"}).Objects(); err == nil || !strings.Contains(err.Error(), "istio-system") {
		t.Errorf("a control plane in another namespace: %v", err)
	}
}

// TestTheControlPlaneMayDoLittle holds what no setting may loosen.
func TestTheControlPlaneMayDoLittle(t *testing.T) {
	for _, r := range everything {
		for _, o := range render(t, r) {
			rules, _, _ := unstructured.NestedSlice(o.Object, "rules")
			for _, rule := range rules {
				m := rule.(map[string]any)
				resources, _ := m["resources"].([]any)
				verbs, _ := m["verbs"].([]any)
				// Secrets of all namespaces are read for gateways, and the API server decides who gets them.
				secrets := o.GetKind() == "ClusterRole" && slices.Contains(resources, any("secrets"))
				if slices.Contains(verbs, any("*")) || secrets && !slices.Equal(verbs, []any{"list", "watch"}) {
					t.Errorf("%s %s grants %v", o.GetKind(), o.GetName(), m)
				}
			}
			if o.GetKind() != "Deployment" || r.Chart != Istiod {
				continue
			}
			containers, _, _ := unstructured.NestedSlice(o.Object, "spec", "template", "spec", "containers")
			context, _, _ := unstructured.NestedMap(containers[0].(map[string]any), "securityContext")
			want := map[string]any{
				"allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "runAsNonRoot": true,
				"capabilities": map[string]any{"drop": []any{"ALL"}},
			}
			if d := gocmp.Diff(want, context); d != "" {
				t.Error(d)
			}
		}
	}
}

// Kiali finds control planes by the labels of what runs them, and what it then asks for by names that follow from these
// (its istio/discovery.go and istio/version.go).
func TestKialiFindsEachControlPlane(t *testing.T) {
	for revision, suffix := range map[string]string{"": "", "canary": "-canary"} {
		objects := render(t, Release{Chart: Istiod, Name: "istiod", Values: map[string]any{"revision": revision, "revisionTags": []any{"prod"}}})
		rev := cmp.Or(revision, "default")
		labels := map[string]string{"app": "istiod", "istio.io/rev": rev}
		deployment, service := find(objects, "Deployment", "istiod"+suffix), find(objects, "Service", "istiod"+suffix)
		template, _, _ := unstructured.NestedStringMap(deployment.Object, "spec", "template", "metadata", "labels")
		for what, got := range map[string]map[string]string{
			"the Deployment": deployment.GetLabels(), "its pods": template, "the Service, whose /version is asked": service.GetLabels(),
			"the webhook of a tag": find(objects, "MutatingWebhookConfiguration", "istio-revision-tag-prod").GetLabels(),
		} {
			want := labels
			if strings.Contains(what, "tag") {
				want = map[string]string{"istio.io/tag": "prod", "istio.io/rev": rev}
			}
			for name, value := range want {
				if got[name] != value {
					t.Errorf("%s: %s has label %s=%q, want %q", rev, what, name, got[name], value)
				}
			}
		}
		if !slices.ContainsFunc(listIn(deployment, "spec", "template", "spec", "containers", "env"), func(v map[string]any) bool {
			return v["name"] == "CLUSTER_ID" && v["value"] == "Kubernetes"
		}) {
			t.Errorf("%s: the control plane's first container does not name its cluster", rev)
		}
		if !slices.ContainsFunc(listIn(service, "spec", "ports"), func(p map[string]any) bool {
			return p["name"] == "http-monitoring" && fmt.Sprint(p["port"]) == "15014"
		}) {
			t.Errorf("%s: the Service does not name the port of its metrics", rev)
		}
		for name, key := range map[string]string{"istio": "mesh", "istio-sidecar-injector": "values"} {
			text, _, _ := unstructured.NestedString(find(objects, "ConfigMap", name+suffix).Object, "data", key)
			if text == "" {
				t.Errorf("%s: the ConfigMap %s has no %s", rev, name+suffix, key)
			}
		}
	}
}

// listIn gives the objects of a list, by its path; of a list on the way the first one counts.
func listIn(o *unstructured.Unstructured, path ...string) []map[string]any {
	at := any(o.Object)
	for _, name := range path {
		if list, ok := at.([]any); ok && len(list) > 0 {
			at = list[0]
		}
		m, _ := at.(map[string]any)
		at = m[name]
	}
	list, _ := at.([]any)
	var out []map[string]any
	for _, e := range list {
		if m, ok := e.(map[string]any); ok {
			out = append(out, m)
		}
	}
	return out
}

func TestScaling(t *testing.T) {
	of := func(values map[string]any) (replicas, scaler, budget bool) {
		objects := render(t, Release{Chart: Istiod, Values: values})
		_, replicas, _ = unstructured.NestedFieldNoCopy(find(objects, "Deployment", "istiod").Object, "spec", "replicas")
		return replicas, find(objects, "HorizontalPodAutoscaler", "istiod").GetName() != "", find(objects, "PodDisruptionBudget", "istiod").GetName() != ""
	}
	for name, c := range map[string]struct {
		values                   map[string]any
		replicas, scaler, budget bool
	}{
		"as it comes":     {nil, false, true, false},
		"two at least":    {map[string]any{"autoscaleMin": 2}, false, true, true},
		"three":           {map[string]any{"autoscaleEnabled": false, "replicaCount": 3}, true, false, true},
		"one, by itself":  {map[string]any{"autoscaleEnabled": false}, true, false, false},
		"without budgets": {map[string]any{"autoscaleMin": 2, "global": map[string]any{"defaultPodDisruptionBudget": map[string]any{"enabled": false}}}, false, true, false},
	} {
		if replicas, scaler, budget := of(c.values); replicas != c.replicas || scaler != c.scaler || budget != c.budget {
			t.Errorf("%s: replicas %v, autoscaler %v, budget %v", name, replicas, scaler, budget)
		}
	}
}

// TestVariablesOfTheControlPlaneCanBeSet holds the schema against what the program reads.
func TestVariablesOfTheControlPlaneCanBeSet(t *testing.T) {
	text, err := os.ReadFile("../../pilot/cmd/pilot-discovery/environment.go")
	if err != nil {
		t.Fatal(err)
	}
	ours := []string{"REVISION", "CLUSTER_ID", "POD_NAMESPACE"} // the chart sets them
	for _, name := range variable.FindAllStringSubmatch(string(text), -1) {
		if slices.Contains(ours, name[1]) {
			continue
		}
		r := Release{Chart: Istiod, Namespace: "istio-system", Values: map[string]any{"env": map[string]any{name[1]: "true"}}}
		if _, err := r.Objects(); err != nil {
			t.Errorf("add it to definitions.env of istiod/values.schema.json: %v", err)
		}
	}
}

// TestValuesOfInjectionCanBeSet holds the schema against what templates of injection read, and looks that it
// reaches the injector.
func TestValuesOfInjectionCanBeSet(t *testing.T) {
	text, err := os.ReadFile("../../pilot/inject/files/values.yaml")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{}
	if err := sigsyaml.Unmarshal(text, &values); err != nil {
		t.Fatal(err)
	}
	global := values["global"].(map[string]any)
	global["network"] = "far"
	objects := render(t, Release{Chart: Istiod, Name: "istiod", Values: values})
	said, _, _ := unstructured.NestedString(find(objects, "ConfigMap", "istio-sidecar-injector").Object, "data", "values")
	got := map[string]any{}
	if err := sigsyaml.Unmarshal([]byte(said), &got); err != nil {
		t.Fatal(err)
	}
	if d := gocmp.Diff(values, got); d != "" {
		t.Errorf("-said +what the injector reads\n%s", d)
	}
}

// TestNetworksAreThoseOfTheValues gives the chart networks, which stand beside the mesh's configuration.
func TestNetworksAreThoseOfTheValues(t *testing.T) {
	const networks = "far:\n  endpoints: [{fromCidr: 10.9.0.0/16}]\n  gateways: [{address: 203.0.113.1, port: 443}]\n"
	given := map[string]any{}
	if err := sigsyaml.Unmarshal([]byte(networks), &given); err != nil {
		t.Fatal(err)
	}
	render := func(values map[string]any) map[string]string {
		objects := render(t, Release{Chart: Istiod, Name: "istiod", Values: values})
		data, _, _ := unstructured.NestedStringMap(find(objects, "ConfigMap", "istio").Object, "data")
		return data
	}
	got, err := model.ParseMeshNetworks([]byte(render(map[string]any{"global": map[string]any{"meshNetworks": given}})[model.MeshNetworksMapKey]))
	if err != nil {
		t.Fatal(err)
	}
	want, err := model.ParseMeshNetworks([]byte("networks: {far: {endpoints: [{fromCidr: 10.9.0.0/16}], gateways: [{address: 203.0.113.1, port: 443}]}}"))
	if err != nil || !proto.Equal(got, want) {
		t.Errorf("networks %v, want %v; %v", got, want, err)
	}
	if text, has := render(nil)[model.MeshNetworksMapKey]; has {
		t.Errorf("networks without values: %q", text)
	}
}

// Rights on WorkloadEntries go with the registration of machines, in each form in which that is turned off.
func TestWithoutRegistrationThereAreNoRightsOnEntries(t *testing.T) {
	for value, granted := range map[any]bool{nil: true, "true": true, true: true, "false": false, false: false, "0": false, 0: false, "F": false, "False": false} {
		env := map[string]any{}
		if value != nil {
			env["PILOT_ENABLE_WORKLOAD_ENTRY_AUTOREGISTRATION"] = value
		}
		got := false
		for _, o := range render(t, Release{Chart: Istiod, Name: "istiod", Values: map[string]any{"env": env}}) {
			rules, _, _ := unstructured.NestedSlice(o.Object, "rules")
			for _, rule := range rules {
				resources, _, _ := unstructured.NestedStringSlice(rule.(map[string]any), "resources")
				got = got || slices.Contains(resources, "workloadentries")
			}
		}
		if got != granted {
			t.Errorf("registration is %v: rights on entries %v", value, got)
		}
	}
}
