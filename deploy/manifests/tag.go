package manifests

import (
	"encoding/base64"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// LabelTag names the tag that a webhook configuration is of.
const LabelTag = "istio.io/tag"

// TagWebhook is the name of a tag's webhook configuration.
func TagWebhook(tag string) string { return "istio-revision-tag-" + tag }

// tagged is a name by which namespaces and pods choose a revision.
type tagged struct {
	Options
	Name   string
	bundle []byte
}

func (t tagged) Selected() string { return t.Name }

// Unlabelled tells that tag default takes what names no revision.
func (t tagged) Unlabelled() bool { return t.Name == "default" }

func (t tagged) CABundle() string { return base64.StdEncoding.EncodeToString(t.bundle) }

// Tag gives the objects of a tag of the revision. bundle is the root that the revision's webhooks have.
func Tag(o Options, tag string, bundle []byte) ([]*unstructured.Unstructured, error) {
	o = o.Complete()
	objects, err := render(tagged{o, tag, bundle}, o.Revision, "tag")
	if err != nil {
		return nil, err
	}
	for _, obj := range objects {
		labels := obj.GetLabels()
		labels[LabelTag] = tag
		obj.SetLabels(labels)
	}
	return objects, nil
}
