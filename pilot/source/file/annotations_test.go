package file

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestAnAnnotationActsOnItsKinds asks for one that acts on two kinds, one that acts on one, and one that acts on all.
func TestAnAnnotationActsOnItsKinds(t *testing.T) {
	e := &effects{annotations: model.Annotations()}
	for _, c := range []struct {
		name string
		kind model.Kind
		want string
	}{
		{"networking.istio.io/traffic-distribution", model.KindService, ""},
		{"networking.istio.io/traffic-distribution", model.KindServiceEntry, ""},
		{"networking.istio.io/traffic-distribution", model.KindNamespace, ""},
		{"networking.istio.io/traffic-distribution", model.KindPod, "it acts on a Service or ServiceEntry or Namespace only"},
		{"networking.istio.io/exportTo", model.KindServiceEntry, "it acts on a Service only"},
		{"galley.istio.io/analyze-suppress", model.KindPod, ""},
	} {
		if got := e.annotationUnread(c.name, c.kind); got != c.want {
			t.Errorf("%s on a %s: %q, want %q", c.name, c.kind, got, c.want)
		}
	}
}

// A session that Istio has behind a variable only is told of.
func TestSessionLabelsAreTold(t *testing.T) {
	_, problems := Decode([]byte(`{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default, labels: {istio.io/persistent-session: cookie}}, spec: {ports: [{port: 80}]}}`), "a.yaml")
	if len(problems) != 1 || problems[0].Field != "metadata.labels[istio.io/persistent-session]" {
		t.Errorf("problems: %v", problems)
	}
}
