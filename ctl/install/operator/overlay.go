package operator

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	apischema "k8s.io/apimachinery/pkg/runtime/schema"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/deploy/charts"
)

// overlay changes one object of a component after its chart is rendered (K8sObjectOverlay of Istio's
// operator API).
type overlay struct {
	APIVersion string  `json:"apiVersion"` // "" for any; its version does not matter
	Kind       string  `json:"kind"`
	Name       string  `json:"name"`
	Patches    []patch `json:"patches"`
	field      string  // that says it
}

// patch writes a value at a path, or deletes what is there where it has none.
type patch struct {
	Path  string `json:"path"`
	Value any    `json:"value"`
}

// Objects renders the release's chart, and lays over it what the release's overlays say.
func (r Release) Objects() ([]*unstructured.Unstructured, error) {
	objects, _, err := r.render()
	return objects, err
}

// render gives the objects, and names the overlays that have no effect.
func (r Release) render() ([]*unstructured.Unstructured, []Problem, error) {
	objects, err := r.Release.Objects()
	if err != nil {
		return nil, nil, err
	}
	var problems []Problem
	for _, o := range r.overlays {
		found := slices.IndexFunc(objects, o.matches)
		if found < 0 {
			problems = append(problems, Problem{o.field, o.unmatched(objects)})
			continue
		}
		changed, without, err := o.apply(objects[found].Object)
		if err != nil {
			return nil, nil, err
		}
		objects[found] = &unstructured.Unstructured{Object: changed}
		problems = append(problems, without...)
	}
	return objects, problems, nil
}

func (o overlay) matches(object *unstructured.Unstructured) bool {
	if o.Kind != object.GetKind() || o.Name != object.GetName() {
		return false
	}
	group, err := apischema.ParseGroupVersion(o.APIVersion)
	return err == nil && (o.APIVersion == "" || group.Group == object.GroupVersionKind().Group)
}

// unmatched tells what there is instead of an object that an overlay is for.
func (o overlay) unmatched(objects []*unstructured.Unstructured) string {
	kinds, names := map[string]bool{}, map[string]bool{}
	for _, object := range objects {
		kinds[object.GetKind()] = true
		if object.GetKind() == o.Kind {
			names[object.GetAPIVersion()+" "+object.GetName()] = true
		}
	}
	of := strings.TrimSpace(o.APIVersion + " " + o.Kind + " " + o.Name)
	if len(names) == 0 {
		return fmt.Sprintf("the component has no %s; its kinds are %s", of, strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	return fmt.Sprintf("the component has no %s; of this kind it has %s", of, strings.Join(slices.Sorted(maps.Keys(names)), ", "))
}

// apply gives the object with the patches, each over what the ones before it made. The object given is not
// changed. A path that the object contradicts is an error.
func (o overlay) apply(object map[string]any) (map[string]any, []Problem, error) {
	var problems []Problem
	for i, p := range o.Patches {
		field := fmt.Sprintf("%s.patches[%d].path", o.field, i)
		path, err := parsePath(p.Path)
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %q: %w", field, p.Path, err)
		}
		changed, err := write(object, path, p.Value)
		if errors.Is(err, errNothing) {
			problems = append(problems, Problem{field, fmt.Sprintf("%s %s has no %s: %s", o.Kind, o.Name, p.Path, err)})
			continue
		}
		if err == nil {
			err = whole(changed)
		}
		if err != nil {
			return nil, nil, fmt.Errorf("%s: %s of %s %s: %w", field, p.Path, o.Kind, o.Name, err)
		}
		object = changed.(map[string]any)
	}
	return object, problems, nil
}

// whole gives an error for what is no object any more that could be told from others.
func whole(of any) error {
	object, ok := of.(map[string]any)
	if !ok {
		return errors.New("an object is a mapping")
	}
	for _, path := range [][]string{{"apiVersion"}, {"kind"}, {"metadata", "name"}} {
		if text, ok, err := unstructured.NestedString(object, path...); err != nil || !ok || text == "" {
			return fmt.Errorf("%s has to stay, as a text", strings.Join(path, "."))
		}
	}
	for _, name := range []string{"labels", "annotations"} {
		if _, _, err := unstructured.NestedStringMap(object, "metadata", name); err != nil {
			return fmt.Errorf("metadata.%s has to be of texts: %w", name, err)
		}
	}
	return nil
}

// textMapping gives the mapping that a text is: several lines of YAML, or one with ": ". JSON stays a text, as
// with Istio's tool.
func textMapping(value any) (map[string]any, bool) {
	text, ok := value.(string)
	if !ok || !strings.Contains(text, ": ") && !(strings.Contains(text, "\n") && strings.Contains(text, ":")) {
		return nil, false
	}
	if json.Valid([]byte(text)) {
		return nil, false
	}
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, false
	}
	m := map[string]any{}
	if err := strictjson.UnmarshalCaseSensitivePreserveInts(data, &m); err != nil || len(m) == 0 {
		return nil, false
	}
	return m, true
}

// workload is a component's Deployment, with the container that is the component.
type workload struct{ name, container string }

// pods are the settings of a component's pods that its chart has no value for, as overlays.
func (k kubernetes) pods(of workload, field string) []overlay {
	var out []overlay
	for _, set := range []struct {
		name, path string
		value      map[string]any
	}{
		{"readinessProbe", "spec.template.spec.containers.[name:" + of.container + "].readinessProbe", k.ReadinessProbe},
		{"securityContext", "spec.template.spec.securityContext", k.SecurityContext},
	} {
		if set.value != nil {
			out = append(out, overlay{Kind: "Deployment", Name: of.name, Patches: []patch{{set.path, set.value}}, field: field + "." + set.name})
		}
	}
	return out
}

// overlaid gives a release of a component with its overlays, and notes what of them has no effect.
func (p *planner) overlaid(field string, k kubernetes, of workload, component string, chart charts.Release) (Release, error) {
	field += ".k8s"
	r := Release{Component: component, Release: chart, overlays: k.pods(of, field)}
	for i, o := range k.Overlays {
		o.field = fmt.Sprintf("%s.overlays[%d]", field, i)
		r.overlays = append(r.overlays, o)
	}
	if len(r.overlays) == 0 {
		return r, nil
	}
	_, problems, err := r.render()
	p.Problems = append(p.Problems, problems...)
	return r, err
}
