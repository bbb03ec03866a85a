package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// describedMesh has a workload, rules for it, and objects that are refused: of it, and of others.
const describedMesh = `
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {clusterIP: 10.96.0.7, selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: plain}, spec: {clusterIP: 10.96.0.8, selector: {app: plain}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-1, labels: {app: web}}, spec: {containers: [{name: c, image: c}]}, status: {podIP: 10.9.0.1, phase: Running}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: one, creationTimestamp: "2020-01-01T00:00:00Z"}, spec: {mtls: {mode: STRICT}}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: one, creationTimestamp: "2020-01-01T00:00:00Z"}, spec: {egress: [{hosts: ["./*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: two, creationTimestamp: "2021-01-01T00:00:00Z"}, spec: {egress: [{hosts: ["./*"]}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: refused}, spec: {hosts: [web], htp: []}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: of-others}, spec: {hosts: [other], htp: []}}
---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: refused}, spec: {selector: {matchLabels: {app: web}}, rules: [{from: [{source: {ipBlocks: [10.0.0.0/40]}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: secure}, spec: {selector: {app: edge}, servers: [{port: {number: 443, name: https, protocol: HTTPS}, hosts: ["*"], tls: {mode: SIMPLE, credentialName: there}}]}}
`

// withRefusals is a control plane of which web-1 refused what an EnvoyFilter does, and another proxy what a second does.
func withRefusals(t *testing.T, of http.Handler) http.Handler {
	const own = `{"kind":"EnvoyFilter","namespace":"default","name":"own","field":"spec.configPatches[0]","severity":"Error","reason":"Rejected",` +
		`"message":"proxy web-1.default refused filter chain x, which stays as it was accepted last until this is mended: no","file":"own.yaml","line":4}`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case syncPath:
			_, _ = io.WriteString(w, `[{"proxy":"web-1.default","types":{"lds":{"state":"ERROR","error":"no","refused":[`+own+`]}}}]`)
		case "/debug/problems":
			said := httptest.NewRecorder()
			of.ServeHTTP(said, r)
			var all []json.RawMessage
			if err := json.Unmarshal(said.Body.Bytes(), &all); err != nil {
				t.Error(err)
			}
			foreign := strings.NewReplacer(`"own"`, `"foreign"`, "web-1", "edge-1").Replace(own)
			_ = json.NewEncoder(w).Encode(append(all, json.RawMessage(own), json.RawMessage(foreign)))
		default:
			of.ServeHTTP(w, r)
		}
	})
}

// A running mesh is asked what it refused and what others override, and all of its control planes: only one of them
// knows the proxy of a server.
func TestDescribeInARunningMesh(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "mesh.yaml"), describedMesh)
	const istio = "/apis/networking.istio.io/v1/namespaces/default/virtualservices/"
	of := func(host string) any {
		return map[string]any{
			"apiVersion": "networking.istio.io/v1", "kind": "VirtualService",
			"metadata": map[string]any{"name": map[string]string{"web": "refused", "other": "of-others"}[host], "namespace": "default"},
			"spec":     map[string]any{"hosts": []string{host}},
		}
	}
	pod := func(name string, containers ...string) *corev1.Pod {
		app, _, _ := strings.Cut(name, "-")
		out := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{"app": app}}}
		for _, c := range containers {
			out.Spec.Containers = append(out.Spec.Containers, corev1.Container{Name: c})
		}
		return out
	}
	secret, _ := keyedSecret(t, "there")
	writeFile(t, filepath.Join(dir, "secret.yaml"), secret)
	mesh := &apiServer{
		t: t,
		replicas: map[string]http.Handler{"istiod-a-1": controlPlane(t, dir), "istiod-b-1": withRefusals(t, controlPlane(t, dir,
			"sidecar~10.9.0.1~web-1.default~default.svc.cluster.local app=web", "router~10.9.0.3~edge-1.default~default.svc.cluster.local app=edge"))},
		objects: map[string]any{
			"/api/v1/namespaces/default/pods/web-1":   pod("web-1", "c", "istio-proxy"),
			"/api/v1/namespaces/default/pods/edge-1":  pod("edge-1", "istio-proxy"),
			"/api/v1/namespaces/default/pods/plain-1": pod("plain-1", "c"),
			"/api/v1/namespaces/default/pods/away-1":  pod("away-1", "c", "istio-proxy"),
			istio + "refused":                         of("web"),
			istio + "of-others":                       of("other"),
		},
	}
	for _, c := range []struct {
		args      []string
		code      int
		has, lack []string
	}{
		{[]string{"pod", "web-1"}, 0, []string{
			"Pod: web-1.default (sidecar)", "VirtualService/default/refused spec.htp", "AuthorizationPolicy/default/refused spec.rules[0]",
			"Sidecar/default/two", "Applied policy: AuthorizationPolicy/default/refused (refused, denies)",
			"EnvoyFilter/default/own spec.configPatches[0]", "filter chain x, which stays as it was accepted last",
		}, []string{"of-others", "EnvoyFilter/default/foreign"}},
		{[]string{"svc", "web"}, 0, []string{"Service/default/web", "STRICT, by PeerAuthentication/default/one", "VirtualService/default/refused spec.htp"}, []string{"of-others"}},
		{[]string{"pod", "plain-1"}, 0, []string{"Pod: plain-1.default (not in the mesh)", "there is no container istio-proxy", "Service/default/plain"}, []string{"Effective", "refused"}},
		// Secrets are not asked for, so nothing is said of them here.
		{[]string{"pod", "edge-1"}, 0, []string{"Pod: edge-1.default (router)", "TLS SIMPLE by Secret there"}, []string{"there is no Secret"}},
		{[]string{"pod", "away-1"}, 1, []string{"the proxy is not connected to the control plane"}, nil},
		{[]string{"svc", "nope"}, 1, []string{"there is no Service default/nope"}, nil},
	} {
		stdout, stderr, code := pilotctlOf(t, mesh, append([]string{"describe"}, c.args...)...)
		if code != c.code {
			t.Errorf("%v: exit code %d, %s", c.args, code, stderr)
		}
		for _, text := range c.has {
			if !strings.Contains(stdout+stderr, text) {
				t.Errorf("%v: %q is not said:\n%s%s", c.args, text, stdout, stderr)
			}
		}
		for _, text := range c.lack {
			if strings.Contains(stdout, text) {
				t.Errorf("%v: %q is said:\n%s", c.args, text, stdout)
			}
		}
	}
}
