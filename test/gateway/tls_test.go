package gateway

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// edge is what all tests begin with: a service behind a gateway, in a mesh without mutual TLS, for which
// there is no agent.
func edge(t *testing.T, name string) string {
	t.Helper()
	return fmt.Sprintf(`
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "enableAutoMtls: false"}
---
apiVersion: v1
kind: Pod
metadata: {name: gw-0, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {serviceAccountName: gw, containers: [{name: istio-proxy, image: x}]}
status: {podIP: 127.0.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: default, labels: {app: web}}
spec: {containers: [{name: web, image: x}]}
status: {podIP: 127.0.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: %d}]}
`, envoytest.Backend(t, name))
}

func gatewayOf(servers ...string) string {
	return "\n---\napiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: gw, namespace: default}\nspec:\n  selector: {istio: ingressgateway}\n  servers:\n  - " +
		strings.Join(servers, "\n  - ")
}

const webRoute = `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec: {hosts: ["*.example.com"], gateways: [gw], http: [{route: [{destination: {host: web}}]}]}
`

func proven() *xds.Identity { return &xds.Identity{Namespace: "istio-system", ServiceAccount: "gw"} }

// A gateway presents the certificate of a Secret. A changed one is presented to whoever comes after, and
// connections that are there stay: no request fails. A broken one changes nothing, and a missing one
// holds up nobody else.
func TestSecretsAreServedAndChangeUnderLoad(t *testing.T) {
	t.Parallel()
	ca := envoytest.NewAuthority(t, "root")
	port := envoytest.FreePort(t)
	server := func(name, secret string) string {
		return fmt.Sprintf("{port: {number: %d, name: %s, protocol: HTTPS}, hosts: [%s.example.com], tls: {mode: SIMPLE, credentialName: %s}}", port, name, name, secret)
	}
	first, second, late := ca.Issue(11, "a.example.com", "first.test"), ca.Issue(12, "a.example.com", "second.test"), ca.Issue(13, "b.example.com")
	m := newMesh(t, proven(), edge(t, "web")+gatewayOf(server("a", "one"), server("b", "two"))+webRoute+
		secret("one", "tls.crt", first.Cert, "tls.key", first.Key))
	kept := newClient(t, port, ca)
	kept.want(t, "https://a.example.com/", 200, "web")

	var load sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for _, keep := range []bool{true, false} {
		load.Go(func() {
			c := kept
			for n := 0; ctx.Err() == nil; n++ {
				if !keep {
					c = newClient(t, port, ca)
				}
				status, body, serial, err := c.get("https://a.example.com/")
				if err != nil || status != 200 || body != "web" {
					t.Errorf("request %d: %d %q %v", n, status, body, err)
					return
				}
				if keep && serial != 11 {
					t.Errorf("request %d: the connection was lost, the certificate is %d", n, serial)
					return
				}
			}
		})
	}
	serves := func(host string, want envoytest.Pair) {
		t.Helper()
		until(t, host, func() error {
			_, _, serial, err := newClient(t, port, ca).get("https://" + host + "/")
			if err == nil && serial != want.Leaf.SerialNumber.Int64() {
				err = fmt.Errorf("certificate %d, want %v", serial, want.Leaf.SerialNumber)
			}
			return err
		})
		if o := m.explained(port, host, true); o.Presented != strings.Join(want.Leaf.DNSNames, ",") {
			t.Errorf("%s, by explain: %q is presented, want %v", host, o.Presented, want.Leaf.DNSNames)
		}
	}
	serves("a.example.com", first)
	if o := m.explained(port, "b.example.com", true); !o.Closed {
		t.Errorf("a server without its Secret, by explain: %s", &o)
	}
	m.apply(secret("one", "tls.crt", second.Cert, "tls.key", second.Key))
	serves("a.example.com", second)
	m.apply(secret("one", "tls.crt", first.Cert, "tls.key", second.Key)) // no pair
	m.apply(secret("two", "cert", late.Cert, "key", late.Key))
	serves("b.example.com", late)
	serves("a.example.com", second)
	stop()
	load.Wait()

	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.problems) != 2 || m.problems[0].Object.Name != "gw" || m.problems[1].Object.Name != "one" {
		t.Errorf("problems %v, want one of the server that needs Secret one, and one of that", m.problems)
	}
	for _, p := range m.problems {
		if strings.Contains(p.String(), "KEY") {
			t.Errorf("a problem shows a key: %v", p)
		}
	}
}

// Who did not prove its namespace gets no Secret, and neither does a gateway of another one.
func TestSecretsAreForProvenGatewaysOfTheirNamespace(t *testing.T) {
	t.Parallel()
	ca := envoytest.NewAuthority(t, "root")
	port, clear := envoytest.FreePort(t), envoytest.FreePort(t)
	own := ca.Issue(11, "a.example.com")
	m := newMesh(t, nil, edge(t, "web")+webRoute+secret("one", "tls.crt", own.Cert, "tls.key", own.Key)+gatewayOf(
		fmt.Sprintf("{port: {number: %d, name: a, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: one}}", port),
		fmt.Sprintf("{port: {number: %d, name: b, protocol: HTTP}, hosts: [b.example.com]}", clear)))
	newClient(t, clear, ca).want(t, "http://b.example.com/", 200, "web")
	until(t, "the listener of TLS", func() error {
		if !strings.Contains(m.envoy.Get("/listeners"), fmt.Sprint(port)) {
			return errors.New("is not there")
		}
		return nil
	})
	if _, _, _, err := newClient(t, port, ca).get("https://a.example.com/"); err == nil {
		t.Error("a caller without proof got the Secret")
	}
	if o := m.explained(port, "a.example.com", true); !o.Closed {
		t.Errorf("without the Secret, by explain: %s", &o)
	}
	if o := m.explained(clear, "b.example.com", false); o.Refused {
		t.Errorf("in the clear, by explain: %s", &o)
	}
}

// A gateway speaks TLS to services with the Secret that a DestinationRule names.
func TestGatewayOriginatesTLSWithASecret(t *testing.T) {
	t.Parallel()
	ca := envoytest.NewAuthority(t, "root")
	clear := envoytest.FreePort(t)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "client %v", r.TLS.PeerCertificates[0].SerialNumber)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(41, "inner.test").TLS(t)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Roots()}
	server.StartTLS()
	t.Cleanup(server.Close)
	own := ca.Issue(42, "gw.test")
	m := newMesh(t, proven(), edge(t, "web")+webRoute+secret("out", "tls.crt", own.Cert, "tls.key", own.Key, "ca.crt", ca.PEM)+fmt.Sprintf(`
---
apiVersion: v1
kind: Service
metadata: {name: inner, namespace: default}
spec: {clusterIP: 10.96.0.3, selector: {app: web}, ports: [{name: http, port: 80, targetPort: %d}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: inner, namespace: default}
spec: {host: inner, trafficPolicy: {tls: {mode: MUTUAL, credentialName: out, sni: inner.test}}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: inner, namespace: default}
spec: {hosts: [inner.test], gateways: [gw], http: [{route: [{destination: {host: inner}}]}]}
`, server.Listener.Addr().(*net.TCPAddr).Port)+gatewayOf(
		fmt.Sprintf("{port: {number: %d, name: a, protocol: HTTP}, hosts: [inner.test]}", clear)))
	newClient(t, clear, ca).want(t, "http://inner.test/", 200, "client 42")
	o := m.explained(clear, "inner.test", false)
	if tls, _, ok := goes(&o); !ok || tls != "mutual" {
		t.Errorf("by explain: %s, by TLS %q", &o, tls)
	}
}

// A sidecar speaks TLS to a service with the Secret of its own namespace that a DestinationRule names which selects
// it. One that proved nothing gets none, and for one that is not selected the rule says nothing.
func TestSidecarOriginatesTLSWithASecret(t *testing.T) {
	t.Parallel()
	ca := envoytest.NewAuthority(t, "root")
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "client %v", r.TLS.PeerCertificates[0].SerialNumber)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{ca.Issue(41, "inner.test").TLS(t)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.Roots()}
	server.StartTLS()
	t.Cleanup(server.Close)
	own := ca.Issue(42, "client.test")
	for name, c := range map[string]struct {
		identity *xds.Identity
		app      string
		status   int
		body     string
		tls      string // by explain; "" for no connection
	}{
		"selected":     {&xds.Identity{Namespace: "default", ServiceAccount: "client"}, "client", 200, "client 42", "mutual"},
		"unproven":     {nil, "client", 503, "", ""},
		"not selected": {&xds.Identity{Namespace: "default", ServiceAccount: "client"}, "other", 400, "HTTP request to an HTTPS server", "none"}, // by no rule
	} {
		t.Run(name, func(t *testing.T) { // one after the other: each has the ports of a sidecar
			port := envoytest.FreePort(t)
			m := newPlane(t, c.identity, edge(t, "web")+strings.ReplaceAll(secret("out", "tls.crt", own.Cert, "tls.key", own.Key, "ca.crt", ca.PEM), "namespace: istio-system", "namespace: default")+fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: client-0, namespace: default, labels: {app: %s}}
spec: {serviceAccountName: client, containers: [{name: istio-proxy, image: x}]}
status: {podIP: 127.0.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: v1
kind: Service
metadata: {name: inner, namespace: default}
spec: {clusterIP: 10.96.0.3, selector: {app: web}, ports: [{name: http, port: %d, targetPort: %d}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: inner, namespace: default}
spec: {host: inner, workloadSelector: {matchLabels: {app: client}}, trafficPolicy: {tls: {mode: MUTUAL, credentialName: out, sni: inner.test}}}
---
{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: default, namespace: istio-system}, spec: {mtls: {mode: DISABLE}}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: client, namespace: default}
spec: {egress: [{port: {number: %d, name: http, protocol: HTTP}, bind: 127.0.0.1, captureMode: NONE, hosts: ["./*"]}]}
`, c.app, port, server.Listener.Addr().(*net.TCPAddr).Port, port))
			m.envoy = envoytest.Run(t, envoytest.Config{Node: "sidecar~127.0.0.2~client-0.default~default.svc.cluster.local", Socket: m.socket})
			newClient(t, port, ca).want(t, fmt.Sprintf("http://inner.default.svc.cluster.local:%d/", port), c.status, c.body)
			o := m.explained(port, fmt.Sprintf("inner.default.svc.cluster.local:%d", port), false)
			if tls, status, ok := goes(&o); ok != (c.tls != "") || tls != c.tls || !ok && status != c.status {
				t.Errorf("by explain: %s, by TLS %q, want %q", &o, tls, c.tls)
			}
		})
	}
}
