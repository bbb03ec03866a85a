package inject

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/template"

	"istio.io/api/annotation"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
)

// autoImage is what users write for the image of a container that a template completes.
const autoImage = "auto"

// parsedTemplate is a template, or why its text is none: that harms only the pods that ask for it.
type parsedTemplate struct {
	*template.Template
	err error
}

// parseTemplates parses each text; all may use the parts of files/common.yaml, and define the same names
// otherwise. They call functions.
func parseTemplates(texts map[string]string, functions template.FuncMap) (map[string]parsedTemplate, error) {
	common, err := files.ReadFile("files/common.yaml")
	if err != nil {
		return nil, err
	}
	base, err := template.New("common").Funcs(functions).Parse(string(common))
	if err != nil {
		return nil, err
	}
	out := map[string]parsedTemplate{}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		t, err := base.Clone()
		if err != nil {
			return nil, err
		}
		if t, err = t.New(name).Parse(texts[name]); err != nil {
			err = fmt.Errorf("injection template %s cannot be read: %w", name, err)
		}
		out[name] = parsedTemplate{t, err}
	}
	return out, nil
}

// Problems tells what of the configuration is of no use: a policy that is none, templates that cannot be read, and default
// templates that do not exist. Pods that do not need them are injected all the same.
func (in *Injector) Problems() []error {
	var out []error
	if err := in.config.policyProblem(); err != nil {
		out = append(out, err)
	}
	for _, name := range slices.Sorted(maps.Keys(in.templates)) {
		if err := in.templates[name].err; err != nil {
			out = append(out, err)
		}
	}
	if _, err := in.names(in.config.DefaultTemplates); err != nil && !slices.ContainsFunc(out, func(e error) bool { return errors.Is(err, e) }) {
		out = append(out, fmt.Errorf("injection config: defaultTemplates: %w", err))
	}
	return out
}

// names expands aliases, once, and refuses names that no template has.
func (in *Injector) names(list []string) ([]string, error) {
	var out []string
	for _, name := range list {
		name = strings.TrimSpace(name)
		expanded, ok := in.config.Aliases[name]
		if !ok {
			expanded = []string{name}
		}
		for _, n := range expanded {
			t, ok := in.templates[n]
			if !ok {
				return nil, fmt.Errorf("there is no template %q, only %s", n,
					strings.Join(slices.Sorted(maps.Keys(in.templates)), ", "))
			}
			if t.err != nil {
				return nil, t.err
			}
			out = append(out, n)
		}
	}
	return out, nil
}

// overrides are the containers that a pod itself had under the name of a template's one. They
// are kept in an annotation, so that the pod can be injected anew.
type overrides struct {
	Containers     []corev1.Container `json:"containers,omitempty"`
	InitContainers []corev1.Container `json:"initContainers,omitempty"`
}

// render merges the pod's templates into it. What the pod itself says about a container of
// theirs wins.
func (in *Injector) render(pod *corev1.Pod, data *templateData) (*corev1.Pod, error) {
	list, source := in.config.DefaultTemplates, "injection config: defaultTemplates"
	if text, ok := pod.Annotations[annotation.InjectTemplates.Name]; ok {
		list, source = strings.Split(text, ","), "annotation "+annotation.InjectTemplates.Name
	}
	names, err := in.names(list)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", source, err)
	}
	more, err := in.addition(names, data)
	if err != nil {
		return nil, err
	}
	if more != nil {
		inits, containers := pod.Spec.InitContainers, pod.Spec.Containers
		own := takeOverridden(pod, addedContainers(more))
		if add(pod, more) {
			return pod, applyOverrides(pod, own)
		}
		pod.Spec.InitContainers, pod.Spec.Containers = inits, containers
	}
	return in.merged(pod, names, data)
}

// merged lays the templates' result over a pod, whatever it says.
func (in *Injector) merged(pod *corev1.Pod, names []string, data *templateData) (*corev1.Pod, error) {
	patch, err := in.patch(names, data)
	if err != nil {
		return nil, err
	}
	own := takeOverridden(pod, patchedContainers(patch))
	if more := in.added(patch); more != nil && add(pod, more) {
		return pod, applyOverrides(pod, own)
	}
	given, _ := mapsOf(patch).(map[string]any)
	out, err := merge(pod, given)
	if err != nil {
		return nil, fmt.Errorf("injection templates %s: %w", strings.Join(names, ","), err)
	}
	return out, applyOverrides(out, own)
}

// patch gives what templates say together.
func (in *Injector) patch(names []string, data *templateData) (object, error) {
	merged := map[string]any{}
	for _, name := range names {
		given, err := in.execute(name, data)
		if err != nil {
			return nil, err
		}
		if len(names) == 1 && isPlain(given) {
			return given, nil
		}
		over, _ := mapsOf(given).(map[string]any)
		if merged, err = strategicpatch.StrategicMergeMapPatch(merged, over, corev1.Pod{}); err != nil {
			return nil, fmt.Errorf("injection template %s: merging: %w", name, err)
		}
	}
	patch, _ := treeOf(merged).(object)
	return patch, nil
}

// execute gives one template's result.
func (in *Injector) execute(name string, data any) (object, error) {
	var b strings.Builder
	b.Grow(8 << 10) // our own templates give as much
	if err := in.templates[name].Execute(&b, data); err != nil {
		return nil, fmt.Errorf("injection template %s: %w", name, err)
	}
	out, err := readYAML(b.String())
	if err != nil {
		return nil, fmt.Errorf("injection template %s: its result is no YAML: %w", name, err)
	}
	result, ok := out.(object)
	if !ok && out != nil {
		return nil, fmt.Errorf("injection template %s: its result is no object", name)
	}
	return result, nil
}

// merge lays a strategic merge patch over an object. The patch is used up.
func merge[T any](original *T, patch map[string]any) (*T, error) {
	base, err := runtime.DefaultUnstructuredConverter.ToUnstructured(original)
	if err != nil {
		return nil, err
	}
	merged, err := strategicpatch.StrategicMergeMapPatch(base, patch, *new(T))
	if err != nil {
		return nil, fmt.Errorf("merging: %w", err)
	}
	out := new(T)
	if fits(map[string]any(merged)) && runtime.DefaultUnstructuredConverter.FromUnstructured(merged, out) == nil {
		return out, nil
	}
	// This takes longer, but finds numbers that are too large for their field, and its errors name the field.
	data, err := json.Marshal(merged)
	if err != nil {
		return nil, err
	}
	out = new(T)
	return out, json.Unmarshal(data, out)
}

// fits tells that each number fits wherever one is in an object of Kubernetes.
func fits(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		for _, value := range v {
			if !fits(value) {
				return false
			}
		}
	case []any:
		for _, value := range v {
			if !fits(value) {
				return false
			}
		}
	case int64:
		return v == int64(int32(v))
	case float64:
		return false
	}
	return true
}

// addedContainers names the containers of an addition, patchedContainers those of any patch.
func addedContainers(more *corev1.Pod) (names []string) {
	for _, c := range allContainers(more) {
		names = append(names, c.Name)
	}
	return names
}

func patchedContainers(patch object) (names []string) {
	spec, _ := patch.get("spec").(object)
	for _, field := range []string{"initContainers", "containers"} {
		containers, _ := spec.get(field).([]any) // what else it is, merging will tell
		for _, c := range containers {
			container, _ := c.(object)
			if name, ok := container.get("name").(string); ok {
				names = append(names, name)
			}
		}
	}
	return names
}

// takeOverridden removes from the pod, and gives, the containers that a template gives too.
func takeOverridden(pod *corev1.Pod, names []string) overrides {
	take := func(from *[]corev1.Container) []corev1.Container {
		var taken, rest []corev1.Container
		for _, c := range *from {
			if slices.Contains(names, c.Name) {
				taken = append(taken, c)
			} else {
				rest = append(rest, c)
			}
		}
		*from = rest
		return taken
	}
	return overrides{Containers: take(&pod.Spec.Containers), InitContainers: take(&pod.Spec.InitContainers)}
}

// applyOverrides lays the pod's own containers over those of the templates, wherever these
// stand, and notes them in the annotation.
func applyOverrides(pod *corev1.Pod, own overrides) error {
	all := append(slices.Clone(own.InitContainers), own.Containers...)
	if len(all) == 0 {
		return nil
	}
	for _, c := range all {
		for _, base := range allContainers(pod) {
			if base.Name != c.Name {
				continue
			}
			merged, err := mergeContainer(*base, c)
			if err != nil {
				return fmt.Errorf("container %s: merging with the template: %w", c.Name, err)
			}
			*base = *merged
		}
	}
	text, err := json.Marshal(own)
	if err != nil {
		return err
	}
	setAnnotations(pod, map[string]string{annotation.ProxyOverrides.Name: string(text)})
	return nil
}

// mergeContainer lays over on base. Variables, hooks and probes are replaced as a whole, for
// each can be written in several ways that exclude each other.
func mergeContainer(base, over corev1.Container) (*corev1.Container, error) {
	if over.Image == autoImage {
		over.Image = ""
		if over.ImagePullPolicy == corev1.PullAlways { // an API server's default for that name, and nobody's wish
			over.ImagePullPolicy = ""
		}
	}
	base.Env = slices.DeleteFunc(slices.Clone(base.Env), func(e corev1.EnvVar) bool {
		return slices.ContainsFunc(over.Env, func(o corev1.EnvVar) bool { return o.Name == e.Name })
	})
	if over.Lifecycle != nil {
		base.Lifecycle = nil
	}
	for _, p := range []struct{ base, over **corev1.Probe }{
		{&base.ReadinessProbe, &over.ReadinessProbe},
		{&base.LivenessProbe, &over.LivenessProbe},
		{&base.StartupProbe, &over.StartupProbe},
	} {
		if *p.over != nil {
			*p.base = nil
		}
	}
	patch, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&over)
	if err != nil {
		return nil, err
	}
	return merge(&base, patch)
}
