package install

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"

	"github.com/pilothouse-mesh/pilothouse/ctl/install/operator"
)

// mapper knows the kinds that charts make.
type mapper struct{ *meta.DefaultRESTMapper }

func (mapper) Reset() {}

// cluster is one with the control plane of a revision, at the version of its image's tag.
func cluster(t *testing.T, tag string, edit func(*unstructured.Unstructured)) *Cluster {
	t.Helper()
	m := meta.NewDefaultRESTMapper(nil)
	for _, k := range slices.Concat(made, []schema.GroupVersionKind{{Version: "v1", Kind: "Namespace"}}) {
		scope := meta.RESTScopeNamespace
		if slices.Contains([]string{"ClusterRole", "ClusterRoleBinding", "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration", "Namespace"}, k.Kind) {
			scope = meta.RESTScopeRoot
		}
		m.Add(k, scope)
	}
	var objects []runtime.Object
	if tag != "" {
		p, err := operator.Settings{Tag: tag}.Plan()
		if err != nil {
			t.Fatal(err)
		}
		all, err := p.All(false)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range all {
			edit(o)
			data, err := o.MarshalJSON() // numbers as an API server gives them
			if err != nil {
				t.Fatal(err)
			}
			now := &unstructured.Unstructured{}
			if err := now.UnmarshalJSON(data); err != nil {
				t.Fatal(err)
			}
			objects = append(objects, now)
		}
	}
	return &Cluster{client: fake.NewSimpleDynamicClient(runtime.NewScheme(), objects...), mapper: mapper{m}, say: func(string) {}}
}

func TestUpgradable(t *testing.T) {
	none := func(*unstructured.Unstructured) {}
	others := func(o *unstructured.Unstructured) {
		o.SetLabels(map[string]string{operator.LabelManagedBy: "Helm", operator.LabelRevision: "default"})
	}
	for name, c := range map[string]struct {
		from, to  string
		downgrade bool
		edit      func(*unstructured.Unstructured)
		want      error
	}{
		"nothing there":     {"", "1.2.0", false, none, ErrNotInstalled},
		"newer":             {"1.2.0", "1.3.0", false, none, nil},
		"as it is":          {"1.2.0", "1.2.0", false, none, nil},
		"older":             {"1.10.0", "1.9.0", false, none, ErrDowngrade},
		"older, as told":    {"1.10.0", "1.9.0", true, none, nil},
		"a candidate":       {"1.10.0", "1.10.0-rc.1", false, none, ErrDowngrade},
		"with a v":          {"v1.10.0", "1.9.0", false, none, ErrDowngrade},
		"versions of none":  {"dev", "1.9.0", false, none, nil},
		"another's objects": {"1.2.0", "1.3.0", true, others, ErrClash},
	} {
		p, err := operator.Settings{Tag: c.to}.Plan()
		if err != nil {
			t.Fatal(err)
		}
		from, to, err := cluster(t, c.from, c.edit).Upgradable(t.Context(), p, c.downgrade)
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		if err == nil && (from != c.from || to != c.to) {
			t.Errorf("%s: from %q to %q", name, from, to)
		}
	}
}

// TestWhatAnotherToolMadeIsNotTakenOver holds an installation back where an Istio of the same revision is.
func TestWhatAnotherToolMadeIsNotTakenOver(t *testing.T) {
	c := cluster(t, "1.2.0", func(o *unstructured.Unstructured) { o.SetLabels(nil) })
	if err := c.Install(t.Context(), operator.Settings{}, false); !errors.Is(err, ErrClash) {
		t.Errorf("install: %v", err)
	}
	p, err := operator.Settings{Revision: "canary", Profile: "minimal"}.Plan()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.clash(t.Context(), p, false); err != nil {
		t.Errorf("beside it: %v", err)
	}
}

// TestUpgradesBeginWithWhatWasInstalled keeps two installations of one revision apart.
func TestUpgradesBeginWithWhatWasInstalled(t *testing.T) {
	record := func(name, spec string) *unstructured.Unstructured {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "data": map[string]any{
			stateKey: "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: " + name + "}\nspec: {" + spec + "}\n",
		}}}
		o.SetNamespace("istio-system")
		o.SetName(stateName(name, "default"))
		o.SetLabels(map[string]string{operator.LabelManagedBy: operator.ManagedBy, operator.LabelRevision: "default", operator.LabelOwner: name})
		return o
	}
	over := func(c *Cluster, s operator.Settings) (*operator.Plan, error) {
		t.Helper()
		s.Revision = "default"
		s, err := c.OverRecorded(t.Context(), s)
		if err != nil {
			return nil, err
		}
		return s.Plan()
	}
	named := operator.Settings{Files: []operator.File{{Name: "f", Text: []byte("apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nmetadata: {name: edge}\n")}}}
	c := cluster(t, "1.0.0", func(*unstructured.Unstructured) {})
	if p, err := over(c, operator.Settings{}); err != nil || len(p.Releases) != 3 {
		t.Errorf("without a record: %v, %v", p, err)
	}
	c.client = fake.NewSimpleDynamicClient(runtime.NewScheme(), record("mesh", "profile: minimal"))
	if p, err := over(c, operator.Settings{}); err != nil || p.Name != "mesh" || len(p.Releases) != 2 {
		t.Errorf("with one: %v, %v", p, err)
	}
	if p, err := over(c, named); err != nil || p.Name != "edge" || len(p.Releases) != 3 {
		t.Errorf("of another name: %v, %v", p, err)
	}
	c.client = fake.NewSimpleDynamicClient(runtime.NewScheme(), record("mesh", "profile: minimal"), record("edge", "profile: empty"))
	if p, err := over(c, operator.Settings{}); err == nil || !strings.Contains(err.Error(), "edge, mesh") {
		t.Errorf("with two: %v, %v", p, err)
	}
	if p, err := over(c, named); err != nil || len(p.Releases) != 0 {
		t.Errorf("of one of two: %v, %v", p, err)
	}
	if stateName("a-b", "default") == stateName("a", "b-default") {
		t.Error("two installations have one name")
	}
}
