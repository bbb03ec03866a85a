package analyze

import (
	_ "embed"
	"fmt"
	"slices"
	"strings"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/inventory"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// runningShop is what a cluster's control plane has.
//
//go:embed testdata/running.yaml
var runningShop string

// runningOf gives a mesh of objects, with proxies that proved the accounts of their pods.
func runningOf(t *testing.T, yaml string) *Running {
	t.Helper()
	objects, problems := file.Decode([]byte(yaml), "mesh.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r := &Running{Inventory: &inventory.Inventory{Head: inventory.Head{Domain: "cluster.local"}, Objects: objects}}
	for i, o := range objects {
		spec, ok := o.Spec.(*corev1.Pod)
		if !ok {
			continue
		}
		pod := *o
		made := model.NewPod(spec)
		pod.Spec, objects[i] = made, &pod
		if pod.Labels["security.istio.io/tlsMode"] != "" {
			r.Proxies = append(r.Proxies, model.Proxy{
				ID: fmt.Sprintf("sidecar~%s~%s.%s~x", made.IP, o.Name, o.Namespace), Type: model.SidecarProxy, Name: o.Name, Namespace: o.Namespace,
				DNSDomain: o.Namespace + ".svc.cluster.local", IPs: []string{made.IP}, Labels: o.Labels, ServiceAccount: made.ServiceAccount,
				ClusterID: "Kubernetes", Secrets: true, Proof: &model.Proof{ServiceAccount: made.ServiceAccount}, Peer: made.IP,
			})
		}
	}
	return r
}

// endpointsOf tells the addresses of the endpoints of a proxy's cluster.
func endpointsOf(t *testing.T, p Proxy, cluster string) string {
	t.Helper()
	var out []string
	for _, r := range p.Resources {
		if c, ok := r.(*endpointv3.ClusterLoadAssignment); ok && c.GetClusterName() == cluster {
			for _, at := range c.GetEndpoints() {
				for _, e := range at.GetLbEndpoints() {
					a := e.GetEndpoint().GetAddress().GetSocketAddress()
					out = append(out, fmt.Sprintf("%s:%d", a.GetAddress(), a.GetPortValue()))
				}
			}
		}
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// proxyOf finds a proxy by the name of its workload.
func proxyOf(t *Translation, name string) (Proxy, bool) {
	i := slices.IndexFunc(t.Proxies, func(p Proxy) bool { return p.Name == name })
	if i < 0 {
		return Proxy{}, false
	}
	return t.Proxies[i], true
}

func deployment(name, meta, template, spec string) string {
	return fmt.Sprintf("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s%s}\nspec: {template: {metadata: %s, spec: {%scontainers: [{name: app, image: x}]}}}\n---\n", name, meta, template, spec)
}

func comparedWith(t *testing.T, files string) (before, after *Translation) {
	t.Helper()
	before, after, err := runningOf(t, runningShop).Compare(t.Context(), []File{{Name: "new.yaml", Data: []byte(files)}})
	if err != nil {
		t.Fatal(err)
	}
	return before, after
}

func TestFilesDecideWhatPodsAServiceHas(t *testing.T) {
	const shop, two, outside = "outbound|80||shop.default.svc.cluster.local", "outbound|80|two|shop.default.svc.cluster.local", "outbound|80||outside.default.svc.cluster.local"
	service := func(spec string) string {
		return "apiVersion: v1\nkind: Service\nmetadata: {name: shop}\nspec: {" + spec + "}\n---\n"
	}
	rule := "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: shop}\nspec: {host: shop, subsets: [{name: two, labels: {version: v2}}]}\n---\n"
	for name, c := range map[string]struct{ files, cluster, before, after string }{
		"nothing of it":        {rule, shop, "10.9.0.2:8080", "10.9.0.2:8080"},
		"the same Service":     {service("selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 8080}]"), shop, "10.9.0.2:8080", "10.9.0.2:8080"},
		"another target port":  {service("selector: {app: shop}, ports: [{name: http, port: 80, targetPort: 9090}]"), shop, "10.9.0.2:8080", "10.9.0.2:9090"},
		"another selector":     {service("selector: {app: client}, ports: [{name: http, port: 80, targetPort: 8080}]"), shop, "10.9.0.2:8080", "10.9.0.1:8080"},
		"no selector any more": {service("ports: [{name: http, port: 80, targetPort: 8080}]"), shop, "10.9.0.2:8080", "10.9.0.2:8080"},
		"a second Deployment":  {rule + deployment("shop-v2", "", "{labels: {app: shop, version: v2}}", ""), two, "", "10.255.0.0:8080"},
		"other labels":         {deployment("client", "", "{labels: {app: shop}}", ""), shop, "10.9.0.2:8080", "10.9.0.1:8080 10.9.0.2:8080"},
		"pods that leave":      {deployment("shop", "", "{labels: {app: shut}}", ""), shop, "10.9.0.2:8080", ""},
		"a Service of slices":  {rule + service("selector: {app: client}, ports: [{name: http, port: 80}]"), outside, "192.0.2.1:80", "192.0.2.1:80"},
	} {
		t.Run(name, func(t *testing.T) {
			before, after := comparedWith(t, c.files)
			for of, want := range map[*Translation]string{before: c.before, after: c.after} {
				p, ok := proxyOf(of, "client")
				if got := endpointsOf(t, p, c.cluster); !ok || strings.ReplaceAll(got, "10.255.0.1:", "10.255.0.0:") != want {
					t.Errorf("the endpoints are %q, not %q (before: %t)", got, want, of == before)
				}
			}
		})
	}
}

func TestAProxyProvesTheAccountOfItsPod(t *testing.T) {
	before, after := comparedWith(t, deployment("shop", "", "{labels: {app: shop}}", "serviceAccountName: other, "))
	for of, want := range map[*Translation]string{before: "shop", after: "other"} {
		p, ok := proxyOf(of, "shop")
		if !ok {
			t.Fatal("the proxy has no name of its workload")
		}
		at := resolve.WorkloadOf(of.mesh.reader, p.of)
		if at.Pod == nil || at.Doubt != "" || at.Labels["app"] != "shop" {
			t.Errorf("with account %s: it is not its own pod: %+v", want, at)
		}
		if p.of.ServiceAccount != want || p.of.Proof.ServiceAccount != want {
			t.Errorf("it proves %q, and says %q; want %q", p.of.Proof.ServiceAccount, p.of.ServiceAccount, want)
		}
	}
}

func TestInjectionDecidesWhatPodsHaveAProxy(t *testing.T) {
	namespace := func(name, labels string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + ", labels: {" + labels + "}}\n---\n"
	}
	for name, c := range map[string]struct{ files, want string }{
		"the same template":              {deployment("shop", "", "{labels: {app: shop}}", ""), "client shop"},
		"a label against it":             {deployment("shop", "", `{labels: {app: shop, sidecar.istio.io/inject: "false"}}`, ""), "client"},
		"an annotation against it":       {deployment("shop", "", `{labels: {app: shop}, annotations: {sidecar.istio.io/inject: "false"}}`, ""), "client"},
		"the network of the node":        {deployment("shop", "", "{labels: {app: shop}}", "hostNetwork: true, "), "client"},
		"a label for it":                 {deployment("old", ", namespace: plain", `{labels: {app: old, sidecar.istio.io/inject: "true"}}`, ""), "client old shop"},
		"a namespace that ends it":       {namespace("default", "istio-injection: disabled"), ""},
		"a namespace that begins it":     {namespace("plain", "istio-injection: enabled"), "client old shop"},
		"another label of a namespace":   {namespace("plain", "team: b"), "client shop"},
		"a new one":                      {deployment("new", "", "{labels: {app: new}}", ""), "client new shop"},
		"a new one without injection":    {deployment("new", ", namespace: plain", "{labels: {app: new}}", ""), "client shop"},
		"a new one and its namespace":    {namespace("next", "istio-injection: enabled") + deployment("new", ", namespace: next", "{labels: {app: new}}", ""), "client new shop"},
		"a new one of a foreign one":     {deployment("new", ", namespace: unknown", "{labels: {app: new}}", ""), "client new shop"},
		"a new one that asks for itself": {deployment("new", ", namespace: plain", `{labels: {app: new, sidecar.istio.io/inject: "true"}}`, ""), "client new shop"},
	} {
		t.Run(name, func(t *testing.T) {
			_, after := comparedWith(t, c.files)
			var got []string
			for _, p := range after.Proxies {
				got = append(got, p.Name)
			}
			slices.Sort(got)
			if strings.Join(got, " ") != c.want {
				t.Errorf("proxies are beside %q, not %q", got, c.want)
			}
			for _, w := range []string{"client-6d4c-x", "shop-77-y"} {
				pod := after.mesh.reader.Pod("", "default", w)
				workload, _, _ := strings.Cut(w, "-")
				if has := slices.Contains(got, workload); has != (pod.Labels["security.istio.io/tlsMode"] == "istio") {
					t.Errorf("%s has a proxy: %t, and labels %v", w, has, pod.Labels)
				}
			}
		})
	}
}

// What the control plane's injector was told decides, which labels alone do not say.
func TestTheInjectorsOwnPolicyDecides(t *testing.T) {
	namespace := func(name, labels string) string {
		return "apiVersion: v1\nkind: Namespace\nmetadata: {name: " + name + ", labels: {" + labels + "}}\n---\n"
	}
	never := inject.DefaultPolicy()
	never.Never = []metav1.LabelSelector{{MatchLabels: map[string]string{"app": "batch"}}}
	byDefault := inject.DefaultPolicy()
	byDefault.ByDefault = true
	canary := inject.DefaultPolicy()
	canary.Revision = "canary"
	tagged := inject.DefaultPolicy()
	tagged.Revision, tagged.Tags = "1-22", []string{"default", "prod"}
	asked := inject.DefaultPolicy()
	asked.Mode = "disabled"
	for name, c := range map[string]struct {
		policy      inject.Policy
		files, want string
	}{
		"pods that are never injected":        {never, deployment("batch", "", "{labels: {app: batch}}", ""), "client shop"},
		"pods that come to be so":             {never, deployment("shop", "", "{labels: {app: batch}}", ""), "client"},
		"namespaces without labels":           {byDefault, deployment("new", ", namespace: plain", "{labels: {app: new}}", ""), "client new shop"},
		"pods that only ask":                  {asked, deployment("new", "", "{labels: {app: new}}", ""), "client shop"},
		"pods that only ask, and one asks":    {asked, deployment("new", "", `{labels: {app: new, sidecar.istio.io/inject: "true"}}`, ""), "client new shop"},
		"a namespace of this revision":        {canary, namespace("next", "istio.io/rev: canary") + deployment("new", ", namespace: next", "{labels: {app: new}}", ""), "client new shop"},
		"a namespace of another revision":     {canary, namespace("next", "istio.io/rev: other") + deployment("new", ", namespace: next", "{labels: {app: new}}", ""), "client shop"},
		"a namespace that changes to another": {canary, namespace("plain", "istio.io/rev: other"), "client shop"},
		"tag default":                         {tagged, deployment("new", "", "{labels: {app: new}}", ""), "client new shop"},
		"tag default, and one asks":           {tagged, deployment("new", ", namespace: plain", `{labels: {app: new, sidecar.istio.io/inject: "true"}}`, ""), "client new shop"},
		"a namespace of a tag":                {tagged, namespace("next", "istio.io/rev: prod") + deployment("new", ", namespace: next", "{labels: {app: new}}", ""), "client new shop"},
		"a pod of a tag":                      {tagged, deployment("new", ", namespace: plain", "{labels: {app: new, istio.io/rev: prod}}", ""), "client new shop"},
		"a namespace of another's tag":        {tagged, namespace("next", "istio.io/rev: canary") + deployment("new", ", namespace: next", "{labels: {app: new}}", ""), "client shop"},
		"a namespace of the cluster's own":    {byDefault, deployment("new", ", namespace: kube-system", "{labels: {app: new}}", ""), "client shop"},
	} {
		t.Run(name, func(t *testing.T) {
			r := runningOf(t, runningShop)
			r.Injection = &c.policy
			_, after, err := r.Compare(t.Context(), []File{{Name: "new.yaml", Data: []byte(c.files)}})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, p := range after.Proxies {
				got = append(got, p.Name)
			}
			slices.Sort(got)
			if strings.Join(got, " ") != c.want {
				t.Errorf("proxies are beside %q, not %q", got, c.want)
			}
		})
	}
}

func TestATemplateWithAnchors(t *testing.T) {
	_, after := comparedWith(t, `
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: new, labels: &labels {app: new}}
spec: {selector: {matchLabels: *labels}, template: {metadata: {labels: *labels}, spec: {containers: [{name: app, image: x}]}}}
`)
	if p, ok := proxyOf(after, "new"); !ok || p.of.Labels["app"] != "new" {
		t.Error("the template of a StatefulSet with an alias makes no pod of its labels")
	}
}
