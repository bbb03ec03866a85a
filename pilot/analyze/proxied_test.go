package analyze

import (
	"fmt"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Whatever Namespaces and pods say, a workload of files has a proxy where the injector would give it one.
func TestWorkloadsHaveAProxyWhereTheInjectorGivesOne(t *testing.T) {
	for _, namespace := range []map[string]string{
		nil, {}, {"istio-injection": "enabled"}, {"istio-injection": "disabled"}, {"istio.io/rev": "default"}, {"istio-injection": "disabled", "istio.io/rev": "default"},
	} {
		for _, inject := range []string{"", "true", "false"} {
			for _, byDefault := range []bool{false, true} {
				t.Run(fmt.Sprint(namespace, inject, byDefault), func(t *testing.T) { checkProxied(t, namespace, inject, byDefault) })
			}
		}
	}
}

// checkProxied looks at one pod; namespace nil stands for no Namespace object.
func checkProxied(t *testing.T, namespace map[string]string, says string, byDefault bool) {
	labels := map[string]string{"app": "web"}
	if says != "" {
		labels["sidecar.istio.io/inject"] = says
	}
	values := fmt.Sprintf("sidecarInjectorWebhook: {enableNamespacesByDefault: %v}", byDefault)
	text := fmt.Sprintf("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio-sidecar-injector, namespace: istio-system}\ndata: {values: %q}\n", values)
	text += fmt.Sprintf("---\napiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: %s}\nspec: {containers: [{name: c, image: c}]}\n", yamlOf(labels))
	var ns *corev1.Namespace
	if namespace != nil {
		ns = &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "shop", Labels: namespace}}
		text += fmt.Sprintf("---\napiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: %s}\n", yamlOf(namespace))
	}
	policy, err := inject.ReadPolicy([]byte(values), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	want := policy.InjectsPod(&corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Labels: labels}}, ns)
	files := []File{{Name: "a.yaml", Data: []byte(text)}}
	translation, err := Translate(t.Context(), files, resolve.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	if got := slices.ContainsFunc(translation.Proxies, func(p Proxy) bool { return p.Name == "web" && p.Namespace == "shop" }); got != want {
		t.Errorf("explain and diff: a proxy is %v, want %v", got, want)
	}
	if _, err := Inbound(files, "shop", "web"); (err == nil) != want {
		t.Errorf("authz explain: %v, want a proxy: %v", err, want)
	}
	found, err := Files(t.Context(), files)
	if err != nil {
		t.Fatal(err)
	}
	if told := slices.ContainsFunc(found, func(f Finding) bool { return f.Code == notInjected }); told && want {
		t.Error("analyze says that there is none")
	}
}

func yamlOf(labels map[string]string) string {
	out := "{"
	for name, value := range labels {
		out += fmt.Sprintf("%s: %q, ", name, value)
	}
	return out + "}"
}

// Without an analyzer's word at the same field by the same code, no problem of any kind is left out.
func TestNoKindOfProblemIsLeftOut(t *testing.T) {
	m := load([]File{{Name: "a.yaml", Data: []byte("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: x}\nspec: {hosts: [a.example], http: [{directResponse: {status: 200}}]}\n")}})
	for _, reason := range []model.Reason{
		model.ReasonInvalid, model.ReasonNotTranslated, model.ReasonConflict, model.ReasonInboundConflict, model.ReasonOutboundConflict,
		model.ReasonRejected, model.ReasonDegraded, model.ReasonReference,
	} {
		for _, kind := range []model.Kind{model.KindVirtualService, model.KindGateway, model.KindDestinationRule, model.KindServiceEntry, model.KindEnvoyFilter, model.KindSidecar, model.KindAuthorizationPolicy} {
			for _, field := range []string{"", "spec.hosts", "spec.http[0]", "spec.http[0].match[0]", "spec.servers[0].port.number"} {
				m.findings = nil
				m.problems([]model.Problem{{Object: model.Key{Kind: kind, Namespace: "default", Name: "x"}, Field: field, Reason: reason, Severity: model.SeverityWarning, Message: "m"}})
				f := m.findings[0]
				elsewhere := []Finding{{Object: f.Object, Field: f.Field, Code: "IST9999"}, {Object: f.Object, Field: "spec.other", Code: f.Code}}
				if m.repeats(f, toldBy(elsewhere)) {
					t.Errorf("%s of %s at %q is left out", reason, kind, field)
				}
				if same := []Finding{{Object: f.Object, Field: f.Field, Code: f.Code}}; f.Code != "" && !m.repeats(f, toldBy(same)) {
					t.Errorf("%s of %s at %q is told twice", reason, kind, field)
				}
			}
		}
	}
}

// Sidecars take mutual TLS unless their pod says otherwise; the injector says nothing of gateways.
func TestModeOfTLS(t *testing.T) {
	for _, c := range []struct {
		proxy     model.ProxyType
		was, want string
	}{
		{model.SidecarProxy, "", "istio"},
		{model.SidecarProxy, "disabled", "disabled"},
		{model.RouterProxy, "", ""},
		{"", "", ""},
	} {
		labels := map[string]string{"app": "a"}
		if c.was != "" {
			labels["security.istio.io/tlsMode"] = c.was
		}
		if got := withTLSMode(labels, c.proxy)["security.istio.io/tlsMode"]; got != c.want {
			t.Errorf("%q of a %q: got %q, want %q", c.was, c.proxy, got, c.want)
		}
	}
}

// A Namespace of which files have no object asks for sidecars, as one of a mesh on this machine does. A cluster's own get
// none.
func TestNamespacesWithoutAnObject(t *testing.T) {
	for namespace, want := range map[string]bool{"shop": true, "default": true, "istio-system": true, "kube-system": false} {
		text := fmt.Sprintf("apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: %s}\nspec: {containers: [{name: c, image: c}]}\n", namespace)
		translation, err := Translate(t.Context(), []File{{Name: "a.yaml", Data: []byte(text)}}, resolve.Settings{})
		if err != nil {
			t.Fatal(err)
		}
		if got := slices.ContainsFunc(translation.Proxies, func(p Proxy) bool { return p.Name == "web" }); got != want {
			t.Errorf("in %s a pod has a sidecar: %t, want %t", namespace, got, want)
		}
	}
}
