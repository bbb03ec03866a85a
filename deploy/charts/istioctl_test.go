package charts

import (
	"encoding/json"
	"slices"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
)

// TestIstiosToolsFindWhatTheyRead asks for the objects as istioctl does.
func TestIstiosToolsFindWhatTheyRead(t *testing.T) {
	objects := render(t, Release{Chart: Istiod, Name: "istiod", Values: map[string]any{
		"revision": "canary", "revisionTags": []any{"prod"}, "global": map[string]any{"hub": "example.org/mesh", "tag": "v1", "proxy": map[string]any{"image": "proxy"}},
	}})
	// `istioctl analyze` compares the images of proxies with what the injector's ConfigMap says, by its JSON.
	values, _, err := unstructured.NestedString(find(objects, "ConfigMap", "istio-sidecar-injector-canary").Object, "data", "values")
	if err != nil {
		t.Fatal(err)
	}
	var read struct {
		Global struct {
			Hub, Tag string
			Proxy    struct{ Image string }
		}
	}
	if err := json.Unmarshal([]byte(values), &read); err != nil {
		t.Errorf("%v: %s", err, values)
	}
	if got := read.Global.Hub + "/" + read.Global.Proxy.Image + ":" + read.Global.Tag; got != "example.org/mesh/proxy:v1" {
		t.Errorf("the image is %s", got)
	}
	for name, c := range map[string]struct {
		kind, selector string
		want           []string
	}{
		"tag list":                 {"MutatingWebhookConfiguration", "istio.io/tag", []string{"istio-revision-tag-prod"}},
		"the revision of a tag":    {"MutatingWebhookConfiguration", "istio.io/tag=prod,istio.io/rev=canary", []string{"istio-revision-tag-prod"}},
		"a revision, without tags": {"MutatingWebhookConfiguration", "istio.io/rev=canary,!istio.io/tag", []string{"istio-sidecar-injector-canary"}},
		"revisions":                {"MutatingWebhookConfiguration", "app=sidecar-injector", []string{"istio-revision-tag-prod", "istio-sidecar-injector-canary"}},
		"the control plane":        {"Deployment", "app=istiod,istio.io/rev=canary", []string{"istiod-canary"}},
		"its service":              {"Service", "app=istiod,istio.io/rev=canary", []string{"istiod-canary"}},
	} {
		selector, err := labels.Parse(c.selector)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, o := range objects {
			if o.GetKind() == c.kind && selector.Matches(labels.Set(o.GetLabels())) {
				got = append(got, o.GetName())
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, wanted %v", name, got, c.want)
		}
	}
	// proxy-status, proxy-config and describe reach the pods themselves.
	pod, _, err := unstructured.NestedStringMap(find(objects, "Deployment", "istiod-canary").Object, "spec", "template", "metadata", "labels")
	if err != nil || pod["app"] != "istiod" || pod["istio.io/rev"] != "canary" {
		t.Errorf("pods of the control plane have %v, %v", pod, err)
	}
}
