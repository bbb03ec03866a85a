// Package manifests holds what an installation puts into a cluster: the kinds of Istio, the control
// plane with its rights and webhooks, and an ingress gateway. It renders them and applies nothing.
package manifests

import (
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"text/template"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
)

//go:embed files/*.yaml
var files embed.FS

// Options of an installation.
type Options struct {
	Namespace string // of the control plane; "istio-system" if empty
	Revision  string // "default" if empty
	Hub, Tag  string // of the images
}

// Labels by which an installation finds what it made.
const (
	LabelManagedBy = "app.kubernetes.io/managed-by"
	ManagedBy      = "pilotctl"
	LabelRevision  = "istio.io/rev"
)

// Suffix is what names end with for all revisions but the default one.
func (o Options) Suffix() string {
	if o.Revision == "default" {
		return ""
	}
	return "-" + o.Revision
}

// Selected is the value of label istio.io/rev that the injection webhooks select by.
func (o Options) Selected() string { return o.Revision }

// Unlabelled tells whether they also select what names no revision.
func (o Options) Unlabelled() bool { return o.Suffix() == "" }

// CABundle of the webhooks, in base64; the control plane writes its own where it is empty.
func (o Options) CABundle() string { return "" }

// Complete fills in what is not set.
func (o Options) Complete() Options {
	for _, f := range []struct {
		field *string
		value string
	}{{&o.Namespace, "istio-system"}, {&o.Revision, "default"}, {&o.Hub, "pilothouse"}, {&o.Tag, "dev"}} {
		if *f.field == "" {
			*f.field = f.value
		}
	}
	return o
}

// Definitions gives the definitions of Istio's kinds, of module istio.io/api.
func Definitions() ([]*unstructured.Unstructured, error) {
	text, err := files.ReadFile("files/crds.yaml")
	if err != nil {
		return nil, err
	}
	return decode(text)
}

// ControlPlane gives the control plane's objects in the order in which they are to be applied.
func ControlPlane(o Options) ([]*unstructured.Unstructured, error) {
	o = o.Complete()
	return render(o, o.Revision, "base", "istiod", "webhooks")
}

// Gateway gives the ingress gateway's objects, whose pods a control plane has to inject.
func Gateway(o Options) ([]*unstructured.Unstructured, error) {
	o = o.Complete()
	return render(o, o.Revision, "gateway")
}

// values are what the templates read.
type values interface {
	Selected() string
	Unlabelled() bool
	CABundle() string
}

// render gives the objects of templates, with the labels by which those of a revision are found.
func render(v values, revision string, names ...string) ([]*unstructured.Unstructured, error) {
	shared, err := files.ReadFile("files/injection.yaml")
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, name := range names {
		text, err := files.ReadFile("files/" + name + ".yaml")
		if err != nil {
			return nil, err
		}
		t, err := template.New(name).Option("missingkey=error").Parse(string(shared) + string(text))
		if err != nil {
			return nil, err
		}
		var out bytes.Buffer
		if err := t.Execute(&out, v); err != nil {
			return nil, err
		}
		objects, err := decode(out.Bytes())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, objects...)
	}
	for _, obj := range all {
		labels := obj.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[LabelManagedBy] = ManagedBy
		if obj.GetKind() != "Namespace" { // there it would ask for injection
			labels[LabelRevision] = revision
		}
		obj.SetLabels(labels)
	}
	return all, nil
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
