package translate

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

const annotatedYAML = `
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: mesh, annotations: {ingressclass.kubernetes.io/is-default-class: "true"}}
spec: {controller: istio.io/ingress-controller}
---
apiVersion: networking.k8s.io/v1
kind: IngressClass
metadata: {name: other}
spec: {controller: example.com/other}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: annotated, namespace: default, annotations: {kubernetes.io/ingress.class: istio}}
spec:
  ingressClassName: other
  rules: [{host: annotated.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: foreign, namespace: default, annotations: {kubernetes.io/ingress.class: nginx}}
spec:
  ingressClassName: mesh
  rules: [{host: foreign.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: default, namespace: default}
spec:
  rules: [{host: default.example.com, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: web, port: {number: 80}}}}]}}]
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Endpoints
metadata: {name: web, namespace: default, annotations: {control-plane.alpha.kubernetes.io/leader: "{}"}}
subsets: [{addresses: [{ip: 10.0.0.1}], ports: [{name: http, port: 80}]}]
`

// delivered is a sink that keeps what a source delivers first.
type delivered struct {
	objects []*model.Object
	end     context.CancelFunc
}

func (c *delivered) Apply(_ string, events []model.Event, _ []model.Problem) {
	for _, e := range events {
		c.objects = append(c.objects, e.New)
	}
}

func (c *delivered) Synced(string) { c.end() }

// What annotations of Kubernetes say has its effect in the product as well, whose source keeps of objects only what is
// read. (The cases of this directory are decoded whole.)
func TestAnnotationsOfKubernetesThroughTheSource(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "all.yaml"), []byte(annotatedYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	c := &delivered{end: cancel}
	if err := file.New([]string{dir}, file.Options{Lean: true}).Run(ctx, c); err != nil {
		t.Fatal(err)
	}
	mesh := model.DefaultMeshConfig()
	objects := append(c.objects, &model.Object{Key: model.Key{Kind: model.KindMeshConfig, Namespace: model.RootNamespace, Name: model.MeshConfigName}, Spec: mesh})
	res := Build(Snapshot(objects), ingress.Model())
	var hosts []string
	for _, r := range res.ByType["routes"] {
		for _, vh := range r.Body.(*routev3.RouteConfiguration).GetVirtualHosts() {
			hosts = append(hosts, vh.GetDomains()[0])
		}
	}
	slices.Sort(hosts)
	if want := []string{"annotated.example.com", "default.example.com"}; !slices.Equal(hosts, want) {
		t.Errorf("the gateway serves %v, want %v", hosts, want)
	}
	if eps := Snapshot(objects).Endpoints(model.ServiceID{Namespace: "default", Hostname: "web.default.svc.cluster.local"}); len(eps) > 0 {
		t.Errorf("a lock has endpoints: %v", eps)
	}
}
