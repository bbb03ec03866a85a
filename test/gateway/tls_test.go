package gateway

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
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
	ca := newAuthority(t, "root")
	port := envoytest.FreePort(t)
	server := func(name, secret string) string {
		return fmt.Sprintf("{port: {number: %d, name: %s, protocol: HTTPS}, hosts: [%s.example.com], tls: {mode: SIMPLE, credentialName: %s}}", port, name, name, secret)
	}
	first, second, late := ca.issue(11, "a.example.com"), ca.issue(12, "a.example.com"), ca.issue(13, "b.example.com")
	m := newMesh(t, proven(), edge(t, "web")+gatewayOf(server("a", "one"), server("b", "two"))+webRoute+
		secret("one", "tls.crt", first.cert, "tls.key", first.key))
	kept := newClient(t, port, ca, nil)
	kept.want(t, "https://a.example.com/", 200, "web")

	var load sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for _, keep := range []bool{true, false} {
		load.Go(func() {
			c := kept
			for n := 0; ctx.Err() == nil; n++ {
				if !keep {
					c = newClient(t, port, ca, nil)
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
	serves := func(host string, want int64) {
		t.Helper()
		until(t, host, func() error {
			_, _, serial, err := newClient(t, port, ca, nil).get("https://" + host + "/")
			if err == nil && serial != want {
				err = fmt.Errorf("certificate %d, want %d", serial, want)
			}
			return err
		})
	}
	m.apply(secret("one", "tls.crt", second.cert, "tls.key", second.key))
	serves("a.example.com", 12)
	m.apply(secret("one", "tls.crt", first.cert, "tls.key", second.key)) // no pair
	m.apply(secret("two", "cert", late.cert, "key", late.key))
	serves("b.example.com", 13)
	serves("a.example.com", 12)
	stop()
	load.Wait()

	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.problems) != 1 || m.problems[0].Object.Name != "one" {
		t.Errorf("problems %v, want one of Secret one", m.problems)
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
	ca := newAuthority(t, "root")
	port, clear := envoytest.FreePort(t), envoytest.FreePort(t)
	own := ca.issue(11, "a.example.com")
	m := newMesh(t, nil, edge(t, "web")+webRoute+secret("one", "tls.crt", own.cert, "tls.key", own.key)+gatewayOf(
		fmt.Sprintf("{port: {number: %d, name: a, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: SIMPLE, credentialName: one}}", port),
		fmt.Sprintf("{port: {number: %d, name: b, protocol: HTTP}, hosts: [b.example.com]}", clear)))
	newClient(t, clear, ca, nil).want(t, "http://b.example.com/", 200, "web")
	until(t, "the listener of TLS", func() error {
		if !strings.Contains(m.envoy.Get("/listeners"), fmt.Sprint(port)) {
			return errors.New("is not there")
		}
		return nil
	})
	if _, _, _, err := newClient(t, port, ca, nil).get("https://a.example.com/"); err == nil {
		t.Error("a caller without proof got the Secret")
	}
}

// MUTUAL wants a certificate of the authority that is not revoked and has one of the names,
// OPTIONAL_MUTUAL takes none as well, and the application is told who it was. Explain says the same by Envoy's dump.
func TestMutualTLS(t *testing.T) {
	t.Parallel()
	ca, other := newAuthority(t, "root"), newAuthority(t, "other")
	port := envoytest.FreePort(t)
	own := ca.issue(11, "a.example.com", "b.example.com", "c.example.com")
	m := newMesh(t, proven(), edge(t, "web")+webRoute+
		secret("one", "tls.crt", own.cert, "tls.key", own.key, "ca.crt", ca.pem, "ca.crl", ca.revoke(99))+
		secret("two", "cert", own.cert, "key", own.key)+secret("two-cacert", "cacert", ca.pem)+
		gatewayOf(
			fmt.Sprintf("{port: {number: %d, name: a, protocol: HTTPS}, hosts: [a.example.com], tls: {mode: MUTUAL, credentialName: one}}", port),
			fmt.Sprintf("{port: {number: %d, name: b, protocol: HTTPS}, hosts: [b.example.com], tls: {mode: OPTIONAL_MUTUAL, credentialName: two}}", port),
			fmt.Sprintf("{port: {number: %d, name: c, protocol: HTTPS}, hosts: [c.example.com], tls: {mode: MUTUAL, credentialName: one, subjectAltNames: [known.test]}}", port)))
	good, known := ca.issue(21, "client.test").tls(t), ca.issue(22, "known.test").tls(t)
	revoked, stranger := ca.issue(99, "client.test").tls(t), other.issue(23, "known.test").tls(t)
	for _, c := range []struct {
		host string
		cert *tls.Certificate
		in   bool
	}{
		{"a", good, true},
		{"a", known, true},
		{"a", nil, false},
		{"a", revoked, false},
		{"a", stranger, false},
		{"b", good, true},
		{"b", nil, true},
		{"b", stranger, false},
		{"c", known, true},
		{"c", good, false},
		{"c", nil, false},
		{"c", stranger, false},
	} {
		url := "https://" + c.host + ".example.com/"
		if c.in {
			newClient(t, port, ca, c.cert).want(t, url, 200, "web")
		} else if status, _, _, err := newClient(t, port, ca, c.cert).get(url); err == nil {
			t.Errorf("%s: %d for a client that must not come in", url, status)
		}
		client := &explain.TLS{SNI: c.host + ".example.com"}
		if c.cert != nil {
			leaf, err := x509.ParseCertificate(c.cert.Certificate[0])
			if err != nil {
				t.Fatal(err)
			}
			client.Certificate, client.Chain, client.At = true, []*x509.Certificate{leaf}, time.Now()
		}
		if o := m.explained(port, client); o.Closed == c.in {
			t.Errorf("%s, by explain: %s", url, &o)
		}
	}
	for _, host := range []string{"a", "b"} { // a workload's certificate is of another CA
		if o := m.explained(port, &explain.TLS{SNI: host + ".example.com", Certificate: true}); !o.Closed {
			t.Errorf("a certificate of the mesh at %s, by explain: %s", host, &o)
		}
	}
}

// explained says what becomes of a request in TLS, by what Envoy runs.
func (m *mesh) explained(port int, client *explain.TLS) explain.Outcome {
	m.t.Helper()
	dump, err := explain.ParseDump([]byte(m.envoy.Get("/config_dump?include_eds")))
	if err != nil {
		m.t.Fatal(err)
	}
	to := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port))
	return dump.Explain(explain.Request{
		Way: explain.Direct, Destination: to, TLS: client, Protocol: explain.HTTP11, Host: client.SNI, Path: "/",
	}).Outcome
}

// TLS passes by its name to where tls rules say, within what the server offers; bytes go where tcp rules
// say; requests in the clear are sent to HTTPS where asked; versions below the minimum and other cipher suites are refused.
func TestPassthroughRedirectAndBytes(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	tlsPort, tcpPort, httpPort, bytesPort := envoytest.FreePort(t), envoytest.FreePort(t), envoytest.FreePort(t), envoytest.FreePort(t)
	inner := ca.issue(31, "pass.example.com", "other.example.com")
	echo := echoServer(t, nil)
	within := echoServer(t, &tls.Config{Certificates: []tls.Certificate{*inner.tls(t)}})
	own := ca.issue(32, "modern.example.com", "bytes.example.com")
	newMesh(t, proven(), edge(t, "web")+webRoute+secret("one", "tls.crt", own.cert, "tls.key", own.key)+fmt.Sprintf(`
---
apiVersion: v1
kind: Service
metadata: {name: raw, namespace: default}
spec: {clusterIP: 10.96.0.2, selector: {app: web}, ports: [{name: tcp, port: 9000, targetPort: %d}, {name: tls, port: 9443, targetPort: %d}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: raw, namespace: default}
spec:
  hosts: [pass.example.com, bytes.example.com, tcp.example.com]
  gateways: [gw]
  tls: [{match: [{sniHosts: [pass.example.com]}], route: [{destination: {host: raw, port: {number: 9443}}}]}]
  tcp: [{route: [{destination: {host: raw, port: {number: 9000}}}]}]
`, echo, within)+gatewayOf(
		fmt.Sprintf("{port: {number: %d, name: pass, protocol: TLS}, hosts: [pass.example.com], tls: {mode: PASSTHROUGH}}", tlsPort),
		fmt.Sprintf("{port: {number: %d, name: modern, protocol: HTTPS}, hosts: [modern.example.com], tls: {mode: SIMPLE, credentialName: one, minProtocolVersion: TLSV1_3}}", tlsPort),
		fmt.Sprintf("{port: {number: %d, name: bytes, protocol: TLS}, hosts: [bytes.example.com], tls: {mode: SIMPLE, credentialName: one, cipherSuites: [ECDHE-ECDSA-AES256-GCM-SHA384]}}", bytesPort),
		fmt.Sprintf("{port: {number: %d, name: tcp, protocol: TCP}, hosts: [tcp.example.com]}", tcpPort),
		fmt.Sprintf("{port: {number: %d, name: http, protocol: HTTP}, hosts: [modern.example.com], tls: {httpsRedirect: true}}", httpPort)))
	c := newClient(t, tlsPort, ca, nil)
	c.want(t, "https://modern.example.com/", 200, "web")
	until(t, "pass", func() error { return echoes(tlsPort, "pass.example.com", 31) })
	until(t, "bytes", func() error { return echoes(bytesPort, "bytes.example.com", 32) })
	until(t, "tcp", func() error { return echoes(tcpPort, "", 0) })
	if err := echoes(tlsPort, "other.example.com", 31); err == nil {
		t.Error("a name that no server has was passed on")
	}
	newClient(t, httpPort, ca, nil).want(t, "http://modern.example.com/x", 301, "")
	old := &tls.Config{ServerName: "modern.example.com", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12}
	if conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", tlsPort), old); err == nil {
		conn.Close()
		t.Error("TLS 1.2 was taken where 1.3 is the minimum")
	}
	for suite, taken := range map[uint16]bool{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384: true, tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: false} {
		only := &tls.Config{ServerName: "bytes.example.com", InsecureSkipVerify: true, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{suite}}
		conn, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", bytesPort), only)
		if err == nil {
			conn.Close()
		}
		if (err == nil) != taken {
			t.Errorf("of a server with one cipher suite, a client with %s got %v", tls.CipherSuiteName(suite), err)
		}
	}
}

// echoServer sends back what it gets, within TLS where there are settings; it gives its port.
func echoServer(t *testing.T, settings *tls.Config) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	if settings != nil {
		l = tls.NewListener(l, settings)
	}
	var open sync.WaitGroup
	t.Cleanup(func() {
		l.Close()
		open.Wait()
	})
	open.Go(func() {
		for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
			open.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(deadline))
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	return port
}

// echoes tells what is wrong with a connection to an echo server behind a port, within TLS where sni is
// given, with a certificate of a serial number.
func echoes(port int, sni string, serial int64) error {
	conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if sni != "" {
		within := tls.Client(conn, &tls.Config{ServerName: sni, InsecureSkipVerify: true})
		if err := within.Handshake(); err != nil {
			return err
		}
		if got := within.ConnectionState().PeerCertificates[0].SerialNumber.Int64(); got != serial {
			return fmt.Errorf("certificate %d, want %d", got, serial)
		}
		conn = within
	}
	if _, err := io.WriteString(conn, "hello"); err != nil {
		return err
	}
	got := make([]byte, 5)
	if _, err := io.ReadFull(conn, got); err != nil || string(got) != "hello" {
		return fmt.Errorf("%q came back: %w", got, err)
	}
	return nil
}

// A gateway speaks TLS to services with the Secret that a DestinationRule names.
func TestGatewayOriginatesTLSWithASecret(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	clear := envoytest.FreePort(t)
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "client %v", r.TLS.PeerCertificates[0].SerialNumber)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*ca.issue(41, "inner.test").tls(t)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
	server.StartTLS()
	t.Cleanup(server.Close)
	own := ca.issue(42, "gw.test")
	newMesh(t, proven(), edge(t, "web")+webRoute+secret("out", "tls.crt", own.cert, "tls.key", own.key, "ca.crt", ca.pem)+fmt.Sprintf(`
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
	newClient(t, clear, ca, nil).want(t, "http://inner.test/", 200, "client 42")
}

// A sidecar speaks TLS to a service with the Secret of its own namespace that a DestinationRule names which selects
// it. One that proved nothing gets none, and for one that is not selected the rule says nothing.
func TestSidecarOriginatesTLSWithASecret(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "root")
	roots := x509.NewCertPool()
	roots.AddCert(ca.cert)
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "client %v", r.TLS.PeerCertificates[0].SerialNumber)
	}))
	server.TLS = &tls.Config{Certificates: []tls.Certificate{*ca.issue(41, "inner.test").tls(t)}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: roots}
	server.StartTLS()
	t.Cleanup(server.Close)
	own := ca.issue(42, "client.test")
	for name, c := range map[string]struct {
		identity *xds.Identity
		app      string
		status   int
		body     string
	}{
		"selected":     {&xds.Identity{Namespace: "default", ServiceAccount: "client"}, "client", 200, "client 42"},
		"unproven":     {nil, "client", 503, ""},
		"not selected": {&xds.Identity{Namespace: "default", ServiceAccount: "client"}, "other", 400, "HTTP request to an HTTPS server"}, // by no rule
	} {
		t.Run(name, func(t *testing.T) { // one after the other: each has the ports of a sidecar
			port := envoytest.FreePort(t)
			m := newPlane(t, build.Options{}, c.identity, edge(t, "web")+strings.ReplaceAll(secret("out", "tls.crt", own.cert, "tls.key", own.key, "ca.crt", ca.pem), "namespace: istio-system", "namespace: default")+fmt.Sprintf(`
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
			newClient(t, port, ca, nil).want(t, fmt.Sprintf("http://inner.default.svc.cluster.local:%d/", port), c.status, c.body)
		})
	}
}
