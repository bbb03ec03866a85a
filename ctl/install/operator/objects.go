package operator

import (
	"cmp"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/pilothouse-mesh/pilothouse/deploy/charts"
	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
)

// Suffix is what names of objects end with for all revisions but the default one.
func Suffix(revision string) string {
	if revision == "" || revision == inject.DefaultRevision {
		return ""
	}
	return "-" + revision
}

// Labels by which an installation finds what it made.
const (
	LabelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = "pilotctl"
	LabelRevision  = "istio.io/rev"
	// LabelOwner names the IstioOperator that an object comes of.
	LabelOwner = "install.operator.istio.io/owning-resource"
)

// Objects renders a component, with the labels by which what was installed is found. The definitions have
// none, since they may have been there before.
func (p *Plan) Objects(r Release) ([]*unstructured.Unstructured, error) {
	objects, err := r.Objects()
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if r.Chart != charts.Base {
			label(o, map[string]string{LabelManagedBy: ManagedBy, LabelRevision: p.Revision, LabelOwner: p.Name})
		}
	}
	return objects, nil
}

func label(o *unstructured.Unstructured, add map[string]string) {
	labels := o.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	maps.Copy(labels, add)
	o.SetLabels(labels)
}

// Namespaces gives the namespaces that the components are in.
func (p *Plan) Namespaces() []*unstructured.Unstructured {
	var names []string
	for _, r := range p.Releases {
		if r.Chart != charts.Base {
			names = append(names, r.Namespace)
		}
	}
	slices.Sort(names)
	var out []*unstructured.Unstructured
	for _, name := range slices.Compact(names) {
		o := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "Namespace"}}
		o.SetName(name)
		out = append(out, o)
	}
	return out
}

// All renders everything: definitions if they are wanted, namespaces, and the components.
func (p *Plan) All(definitions bool) ([]*unstructured.Unstructured, error) {
	all := p.Namespaces()
	for _, r := range p.Releases {
		if r.Chart == charts.Base && !definitions {
			continue
		}
		objects, err := p.Objects(r)
		if err != nil {
			return nil, err
		}
		all = append(all, objects...)
	}
	return all, nil
}

// Tag gives the objects of a tag of a revision, whose control plane is in a namespace. bundle, in base64, is the
// root that the revision's webhooks have.
func Tag(namespace, revision, tag, bundle string) ([]*unstructured.Unstructured, error) {
	r := Release{Component: "tag " + tag, Release: charts.Release{Chart: charts.Istiod, Name: "istio-revision-tag-" + tag, Namespace: namespace, Values: map[string]any{
		"global": map[string]any{"istioNamespace": namespace}, "revision": revision, "revisionTags": []any{tag}, "istiodRemote": map[string]any{"injectionCABundle": bundle},
	}}}
	p := &Plan{Name: r.Name, Revision: cmp.Or(revision, inject.DefaultRevision)}
	objects, err := p.Objects(r)
	return slices.DeleteFunc(objects, func(o *unstructured.Unstructured) bool { return o.GetLabels()[LabelTag] != tag }), err
}

// LabelTag names the tag that a webhook configuration is of.
const LabelTag = "istio.io/tag"
