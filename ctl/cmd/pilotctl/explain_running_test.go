package main

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// In a running mesh a headless host is where its pods are, which the control plane is asked for only then.
func TestHostsOfARunningMesh(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "mesh.yaml"), `
{apiVersion: v1, kind: Service, metadata: {name: head}, spec: {clusterIP: None, selector: {app: head}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: shop}, spec: {clusterIP: 10.96.0.7, selector: {app: head}, ports: [{name: tcp, port: 90}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: shop}, spec: {hosts: [shop], tcp: [{route: [{destination: {host: head}}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: head, labels: {app: head}}, spec: {containers: [{name: c, image: c}]}, status: {podIP: 10.9.0.7, phase: Running, conditions: [{type: Ready, status: "True"}]}}
`)
	m := cluster(t, map[string]http.Handler{"istiod-1": controlPlane(t, dir, "sidecar~10.9.0.1~client-x.default~default.svc.cluster.local")})
	made, err := remake(t.Context(), m, "client-x.default")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	find := hostsOf(made.translation, made.proxy, func() *analyze.Translation {
		asked++
		return made.endpoints(t.Context())
	})
	for _, c := range []struct {
		name, at string
		asked    int
	}{{"shop", "10.96.0.7", 0}, {"10.96.0.7", "10.96.0.7", 0}, {"head.default", "10.9.0.7", 1}} {
		if h := find(c.name); len(h.Addresses) != 1 || h.Addresses[0].String() != c.at || asked != c.asked {
			t.Errorf("%s: %+v, asked %d times", c.name, h, asked)
		}
	}
	if h := find("shp"); len(h.Near) == 0 || h.Near[0] != "shop" {
		t.Errorf("of an unknown name: %+v", h)
	}
}

func TestExplainSaysThatAPodHasNoSidecar(t *testing.T) {
	pod := &corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"}, ObjectMeta: metav1.ObjectMeta{Name: "old", Namespace: "legacy"},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "app"}}},
	}
	server := &apiServer{t: t, objects: map[string]any{"/api/v1/namespaces/legacy/pods/old": pod}}
	_, said, code := pilotctlOf(t, server, "explain", "--from", "old.legacy", "http://shop/")
	if code != exitFailure || !strings.Contains(said, "pod old.legacy has no sidecar, so what it sends passes no proxy") {
		t.Errorf("exit code %d, and it says %s", code, said)
	}
}

// What a client sends to a port of a running gateway's Service arrives where that leads, by number or by name, as it does
// of files. A gateway that only passes TLS on has no route that names the port.
func TestPortsOfARunningGateway(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "mesh.yaml"), `
{apiVersion: v1, kind: Service, metadata: {name: edge}, spec: {clusterIP: 10.96.0.7, selector: {app: edge}, ports: [{name: https, port: 443, targetPort: 8443}, {name: more, port: 444, targetPort: more}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: edge-x, labels: {app: edge}}, spec: {containers: [{name: c, image: c, ports: [{name: more, containerPort: 8444}]}]}, status: {podIP: 10.9.0.7, phase: Running, conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g}, spec: {selector: {app: edge}, servers: [{port: {number: 443, name: tls, protocol: TLS}, tls: {mode: PASSTHROUGH}, hosts: ["*"]}]}}
`)
	m := cluster(t, map[string]http.Handler{"istiod-1": controlPlane(t, dir, "router~10.9.0.7~edge-x.default~default.svc.cluster.local app=edge")})
	made, err := remake(t.Context(), m, "edge-x.default")
	if err != nil {
		t.Fatal(err)
	}
	c := made.tell(t.Context(), m, explain.NewConfig(made.proxy.Resources))
	for asked, want := range map[uint16]uint16{443: 8443, 444: 8444} {
		if got := c.ArrivesAt(asked, false); got != want {
			t.Errorf("port %d leads to %d, want %d", asked, got, want)
		}
	}
}
