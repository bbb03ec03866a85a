// Package charts holds the Helm charts of an installation: the kinds of Istio (base), the control plane with
// its rights and webhooks (istiod), and a gateway. It renders them by Helm's own engine, so that `pilotctl`
// installs what `helm install` would, and applies nothing.
package charts

import (
	"bytes"
	"cmp"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	"helm.sh/helm/v4/pkg/chart/loader/archive"
	"helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed all:base all:istiod all:gateway
var files embed.FS

// The charts.
const (
	Base    = "base"
	Istiod  = "istiod"
	Gateway = "gateway"
)

// Release is a chart with what is particular about one use of it.
type Release struct {
	Chart, Name, Namespace string
	Values                 map[string]any // over the chart's own
}

// Objects renders a release. The objects are in the order in which they can be applied. Values that the
// chart's schema does not allow are an error that names them.
func (r Release) Objects() ([]*unstructured.Unstructured, error) {
	c, err := load(r.Chart)
	if err != nil {
		return nil, err
	}
	values, err := util.ToRenderValues(c, deepCopy(r.Values), common.ReleaseOptions{Name: r.Name, Namespace: r.Namespace, Revision: 1, IsInstall: true}, nil)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", r.Chart, err)
	}
	texts, err := engine.Render(c, values)
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		if strings.HasPrefix(path.Base(name), "_") {
			continue
		}
		objects, err := decode([]byte(texts[name]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, objects...)
	}
	slices.SortStableFunc(all, func(a, b *unstructured.Unstructured) int { return cmp.Compare(rank(a), rank(b)) })
	return all, nil
}

// Values gives the values of a chart where nothing else is said.
func Values(name string) (map[string]any, error) {
	c, err := load(name)
	if err != nil {
		return nil, err
	}
	return c.Values, nil
}

// Schema gives the JSON schema of a chart's values.
func Schema(name string) ([]byte, error) { return files.ReadFile(name + "/values.schema.json") }

// load reads an embedded chart.
func load(name string) (*v2.Chart, error) {
	var all []*archive.BufferedFile
	err := fs.WalkDir(files, name, func(file string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := files.ReadFile(file)
		all = append(all, &archive.BufferedFile{Name: strings.TrimPrefix(file, name+"/"), Data: data})
		return err
	})
	if err != nil {
		return nil, err
	}
	return loader.LoadFiles(all)
}

// order has the kinds that others refer to, in the order in which they are applied; the rest follow them.
var order = []string{
	"CustomResourceDefinition", "NetworkPolicy", "PodDisruptionBudget", "ServiceAccount", "ConfigMap",
	"ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding", "Service", "DaemonSet", "Deployment", "HorizontalPodAutoscaler",
	"MutatingWebhookConfiguration", "ValidatingWebhookConfiguration",
}

func rank(o *unstructured.Unstructured) int {
	if at := slices.Index(order, o.GetKind()); at >= 0 {
		return at
	}
	return len(order)
}

// deepCopy is there because rendering changes values.
func deepCopy(values map[string]any) map[string]any {
	out := map[string]any{}
	for k, v := range values {
		if inner, ok := v.(map[string]any); ok {
			v = deepCopy(inner)
		}
		out[k] = v
	}
	return out
}

func decode(text []byte) ([]*unstructured.Unstructured, error) {
	var out []*unstructured.Unstructured
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader(text), 4096); ; {
		obj := &unstructured.Unstructured{}
		err := d.Decode(&obj.Object)
		switch {
		case errors.Is(err, io.EOF):
			return out, nil
		case err != nil:
			return nil, err
		case len(obj.Object) > 0:
			out = append(out, obj)
		}
	}
}
