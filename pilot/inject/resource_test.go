package inject

import (
	"slices"
	"testing"

	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// spansTo gives a mesh with a provider of OpenTelemetry.
func spansTo(e meshconfig.MeshConfig_ExtensionProvider_ServiceAttributeEnrichment) *meshconfig.MeshConfig {
	out := model.DefaultMeshConfig()
	out.ExtensionProviders = []*meshconfig.MeshConfig_ExtensionProvider{
		{Name: "zipkin", Provider: &meshconfig.MeshConfig_ExtensionProvider_Zipkin{Zipkin: &meshconfig.MeshConfig_ExtensionProvider_ZipkinTracingProvider{}}},
		{Name: "otel", Provider: &meshconfig.MeshConfig_ExtensionProvider_Opentelemetry{
			Opentelemetry: &meshconfig.MeshConfig_ExtensionProvider_OpenTelemetryTracingProvider{ServiceAttributeEnrichment: e},
		}},
	}
	return out
}

// What Istio makes of the same is in its TestOtelResourceAttributes (pkg/kube/inject/template_test.go).
func TestResourceAttributesAsIstio(t *testing.T) {
	asked := spansTo(meshconfig.MeshConfig_ExtensionProvider_OTEL_SEMANTIC_CONVENTIONS)
	said := func(values ...string) map[string]string {
		out := map[string]string{}
		for i := 0; i < len(values); i += 2 {
			out["resource.opentelemetry.io/"+values[i]] = values[i+1]
		}
		return out
	}
	version := map[string]string{"app.kubernetes.io/version": "v1"}
	for _, c := range []struct {
		mesh                *meshconfig.MeshConfig
		annotations, labels map[string]string
		namespace, want     string
	}{
		{mesh: &meshconfig.MeshConfig{}, namespace: "shop"},
		{mesh: spansTo(meshconfig.MeshConfig_ExtensionProvider_ISTIO_CANONICAL), namespace: "shop"},
		{mesh: asked, namespace: "shop", want: "service.namespace=shop,service.instance.id=$(POD_UID)"},
		{mesh: asked, want: "service.instance.id=$(POD_UID)"},
		{mesh: asked, namespace: "shop", labels: version, want: "service.namespace=shop,service.version=v1,service.instance.id=$(POD_UID)"},
		{
			mesh: asked, namespace: "shop", labels: version,
			annotations: said("service.namespace", "other", "service.version", "v2", "service.instance.id", "one"),
			want:        "service.namespace=other,service.version=v2,service.instance.id=one",
		},
		{mesh: asked, annotations: said("service.version", "a=b, c"), want: "service.version=a%3Db%2C c,service.instance.id=$(POD_UID)"},
	} {
		if got := otelResourceAttributes(c.mesh, c.annotations, c.labels, c.namespace); got != c.want {
			t.Errorf("annotations %v, labels %v in %q: %q, want %q", c.annotations, c.labels, c.namespace, got, c.want)
		}
	}
}

// The proxy's container is told the service's name too, by the first that there is.
func TestServicesAreNamedByConventions(t *testing.T) {
	in, err := New(Options{Mesh: spansTo(meshconfig.MeshConfig_ExtensionProvider_OTEL_SEMANTIC_CONVENTIONS)})
	if err != nil {
		t.Fatal(err)
	}
	deployment := Owner{Kind: "Deployment", APIVersion: "apps/v1", Name: "cart-v1"}
	for _, c := range []struct {
		metadata string
		owner    Owner
		want     string
	}{
		{metadata: "{name: cart-1, annotations: {resource.opentelemetry.io/service.name: said}, labels: {app.kubernetes.io/name: named}}", owner: deployment, want: "said"},
		{metadata: "{name: cart-1, labels: {app.kubernetes.io/name: named, app: other}}", owner: deployment, want: "named"},
		{metadata: "{name: cart-1, labels: {app: other}}", owner: deployment, want: "cart-v1"},
		{metadata: "{name: cart-1}", want: "cart-1"},
	} {
		pod := parsePod(t, "metadata: "+c.metadata+"\nspec: {containers: [{name: app, image: app}]}")
		out, _, err := in.Pod(pod, nil, c.owner)
		if err != nil {
			t.Fatal(err)
		}
		env := findProxy(out).Env
		uid := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == "POD_UID" })
		at := slices.IndexFunc(env, func(e corev1.EnvVar) bool { return e.Name == "ISTIO_RESOURCE_ATTRIBUTES" })
		if want := "service.name=" + c.want + ",service.instance.id=$(POD_UID)"; uid < 0 || at < uid || env[at].Value != want {
			t.Errorf("%s: variables %v, want %s after POD_UID", c.metadata, env, want)
		}
	}
}
