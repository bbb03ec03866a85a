package resolve

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// Of extension providers of one name the last one counts, as where Istio lays them one over the other. One that is
// wrong is asked by nobody, and harms no other.
func TestProvidersOfOneName(t *testing.T) {
	mesh := parseMesh(t, `extensionProviders:
- {name: asked, envoyExtAuthzHttp: {service: a.default.svc.cluster.local, port: 80, pathPrefix: /first}}
- {name: wrong, envoyExtAuthzHttp: {service: a.default.svc.cluster.local}}
- {name: asked, envoyExtAuthzHttp: {service: a.default.svc.cluster.local, port: 80, pathPrefix: /last}}
`)
	if first, last, none := providerAt(mesh, "WRONG"), providerAt(mesh, "Asked"), providerAt(mesh, "x"); first != 1 || last != 2 || none != -1 {
		t.Errorf("providers at %d, %d and %d, want 1, 2 and -1", first, last, none)
	}
	r := store.FromObjects([]*model.Object{
		{Key: meshObject().Key, Spec: mesh},
		{Key: model.Key{Kind: model.KindService, Namespace: "default", Name: "a"}, Spec: &corev1.Service{Spec: corev1.ServiceSpec{
			ClusterIP: "10.96.0.1", Ports: []corev1.ServicePort{{Name: "http", Port: 80}},
		}}},
	}, store.Options{}).Reader(nil)
	class := Class{Type: model.SidecarProxy, Namespace: "default"}
	if check, complaint := newExtAuthz(r, &class, "asked"); complaint != "" || check.HTTP.PathPrefix != "/last" {
		t.Errorf("%+v %s, want the provider with /last", check, complaint)
	}
	if check, complaint := newExtAuthz(r, &class, "wrong"); check != nil || !strings.Contains(complaint, "envoyExtAuthzHttp.port") {
		t.Errorf("%+v %q, want a complaint of the port", check, complaint)
	}
}

// Numbers in a retryOn are status codes, and what is empty says nothing.
func TestRetryConditions(t *testing.T) {
	for text, want := range map[string]struct {
		on    []string
		codes []uint32
	}{
		"5xx,reset":                  {[]string{"5xx", "reset"}, nil},
		"503":                        {[]string{"retriable-status-codes"}, []uint32{503}},
		" 5xx , ,503,":               {[]string{"5xx", "retriable-status-codes"}, []uint32{503}},
		"retriable-status-codes,504": {[]string{"retriable-status-codes"}, []uint32{504}},
		", ":                         {nil, nil},
	} {
		if on, codes := conditions(text); !slices.Equal(on, want.on) || !slices.Equal(codes, want.codes) {
			t.Errorf("%q: %q %v, want %q %v", text, on, codes, want.on, want.codes)
		}
	}
}
