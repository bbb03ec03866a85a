package inject

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

var update = flag.Bool("update", false, "write the results into the golden files")

// testCase is what a golden file holds before its result.
type testCase struct {
	options Options
	owner   Owner
	pod     corev1.Pod
	ns      *corev1.Namespace
}

// readCase reads a case: pod.yaml, and as needed options.yaml, values.yaml, config.yaml,
// mesh.yaml, namespace.yaml. It gives the case, and the number of files that are input.
func readCase(t *testing.T, a *txtar.Archive) (c testCase, inputs int) {
	t.Helper()
	for i, f := range a.Files {
		var err error
		switch f.Name {
		case "options.yaml":
			var o struct {
				Options
				Owner Owner
			}
			err = yaml.UnmarshalStrict(f.Data, &o)
			values, config, mesh := c.options.Values, c.options.Config, c.options.Mesh
			c.options, c.owner = o.Options, o.Owner
			c.options.Values, c.options.Config, c.options.Mesh = values, config, mesh
		case "values.yaml":
			c.options.Values = f.Data
		case "config.yaml":
			c.options.Config = f.Data
		case "mesh.yaml":
			c.options.Mesh, err = model.ParseMeshConfig(f.Data)
		case "namespace.yaml":
			c.ns = &corev1.Namespace{}
			err = yaml.UnmarshalStrict(f.Data, c.ns)
		case "pod.yaml":
			err = yaml.UnmarshalStrict(f.Data, &c.pod)
		case "injected.yaml", "error":
			continue
		default:
			t.Fatalf("file %s is unknown", f.Name)
		}
		if err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		inputs = i + 1
	}
	return c, inputs
}

// TestGolden injects the pod of each case twice: the second time must change nothing.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob("testdata/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases: %v", err)
	}
	for _, file := range files {
		if file == filepath.Join("testdata", "fuzz") {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil || filepath.Ext(file) != ".txtar" {
				t.Fatalf("%s is no case: %v", file, err)
			}
			c, inputs := readCase(t, a)
			want := slices.Clone(a.Files[inputs:])
			got := []txtar.File{c.result(t)}
			if *update {
				a.Files = append(a.Files[:inputs:inputs], got...)
				if err := os.WriteFile(file, txtar.Format(a), 0o644); err != nil {
					t.Fatal(err)
				}
				return
			}
			if d := cmp.Diff(lines(want), lines(got)); d != "" {
				t.Errorf("-want +got:\n%s", d)
			}
		})
	}
}

// repeating is a source of chance that is none.
type repeating struct{}

func (repeating) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i)
	}
	return len(p), nil
}

func lines(files []txtar.File) []string {
	var out []string
	for _, f := range files {
		out = append(out, f.Name)
		out = append(out, strings.Split(string(f.Data), "\n")...)
	}
	return out
}

func (c testCase) result(t *testing.T) txtar.File {
	t.Helper()
	failed := func(err error) txtar.File { return txtar.File{Name: "error", Data: []byte(err.Error() + "\n")} }
	c.options.Random = repeating{}
	in, err := New(c.options)
	if err != nil {
		return failed(err)
	}
	before := c.pod.DeepCopy()
	out, injected, err := in.Pod(&c.pod, c.ns, c.owner)
	if d := cmp.Diff(before, &c.pod); d != "" {
		t.Errorf("the input was changed:\n%s", d)
	}
	if err != nil {
		return failed(err)
	}
	text := toText(t, out)
	again, injectedAgain, err := in.Pod(out, c.ns, c.owner)
	if err != nil || injectedAgain != injected {
		t.Fatalf("a second time: injected %v, error %v", injectedAgain, err)
	}
	if d := cmp.Diff(string(text), string(toText(t, again))); d != "" {
		t.Errorf("a second injection changes the pod:\n%s", d)
	}
	return txtar.File{Name: "injected.yaml", Data: text}
}

func toText(t *testing.T, pod *corev1.Pod) []byte {
	t.Helper()
	text, err := yaml.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestRequired is the table of decisions.
func TestRequired(t *testing.T) {
	type m = map[string]string
	never := "sidecarInjectorWebhook: {neverInjectSelector: [{matchLabels: {job: build}}], alwaysInjectSelector: [{matchLabels: {kind: web}}]}"
	disabled := "global: {proxy: {autoInject: disabled}}"
	enabled := m{"istio-injection": "enabled"}
	const inject = "sidecar.istio.io/inject"
	for _, c := range []struct {
		what             string
		ns               m
		labels, annotate m
		hostNetwork      bool
		values, revision string
		want             bool
	}{
		{what: "no label at all", ns: m{}},
		{what: "namespace enabled", ns: enabled, want: true},
		{what: "namespace disabled", ns: m{"istio-injection": "disabled"}, labels: m{inject: "true"}},
		{what: "namespace enabled, pod label false", ns: enabled, labels: m{inject: "false"}},
		{what: "namespace enabled, pod annotation false", ns: enabled, annotate: m{inject: "false"}},
		{what: "label wins over annotation", ns: enabled, labels: m{inject: "true"}, annotate: m{inject: "false"}, want: true},
		{what: "bad value says nothing", ns: enabled, labels: m{inject: "maybe"}, want: true},
		{what: "pod asks, namespace is silent", ns: m{}, labels: m{inject: "true"}, want: true},
		{what: "annotation alone does not ask", ns: m{}, annotate: m{inject: "true"}},
		{what: "host network", ns: enabled, labels: m{inject: "true"}, hostNetwork: true},
		{what: "policy disabled", ns: enabled, values: disabled},
		{what: "policy disabled, pod asks", ns: enabled, labels: m{inject: "true"}, values: disabled, want: true},
		{what: "never selector", ns: enabled, labels: m{"job": "build"}, values: never},
		{what: "pod label wins over never selector", ns: enabled, labels: m{"job": "build", inject: "true"}, values: never, want: true},
		{what: "never wins over always", ns: enabled, labels: m{"job": "build", "kind": "web"}, values: never},
		{what: "always wins over policy", ns: enabled, labels: m{"kind": "web"}, values: "global: {proxy: {autoInject: disabled}}\n" + never, want: true},
		{what: "namespace of this revision", ns: m{"istio.io/rev": "canary"}, revision: "canary", want: true},
		{what: "namespace of another revision", ns: m{"istio.io/rev": "canary"}, revision: "stable"},
		{what: "namespace revision outranks the pod's", ns: m{"istio.io/rev": "canary"}, labels: m{"istio.io/rev": "stable"}, revision: "stable"},
		{what: "injection label outranks revision", ns: m{"istio-injection": "enabled", "istio.io/rev": "canary"}, revision: "canary"},
		{what: "pod of this revision", ns: m{}, labels: m{"istio.io/rev": "canary"}, revision: "canary", want: true},
		{what: "pod of another revision", ns: m{}, labels: m{"istio.io/rev": "canary", inject: "true"}},
		{what: "enabled namespace, revision not the default", ns: enabled, revision: "canary"},
		{what: "enabled by default", ns: m{}, values: "sidecarInjectorWebhook: {enableNamespacesByDefault: true}", want: true},
		{what: "kube-inject knows no namespace", want: true},
	} {
		in, err := New(Options{Values: []byte(c.values), Revision: c.revision})
		if err != nil {
			t.Fatal(err)
		}
		pod := &corev1.Pod{}
		pod.Name, pod.Labels, pod.Annotations, pod.Spec.HostNetwork = "a", c.labels, c.annotate, c.hostNetwork
		var ns *corev1.Namespace
		if c.ns != nil {
			ns = &corev1.Namespace{}
			ns.Name, ns.Labels = "shop", c.ns
		}
		_, got, err := in.Pod(pod, ns, Owner{})
		if err != nil || got != c.want {
			t.Errorf("%s: injected %v, want %v (%v)", c.what, got, c.want, err)
		}
	}
	in, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range model.ClusterNamespaces() {
		ns := &corev1.Namespace{}
		ns.Name, ns.Labels = name, enabled
		if _, injected, err := in.Pod(&corev1.Pod{}, ns, Owner{}); injected || err != nil {
			t.Errorf("namespace %s: injected %v (%v)", name, injected, err)
		}
	}
}
