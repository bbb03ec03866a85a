package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	control "github.com/pilothouse-mesh/pilothouse/pilot/discovery"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/identitytest"
)

// The workload of a pod, which takes mutual TLS only.
const workload = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIP: 10.1.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-0, namespace: default, labels: {app: web}}
spec: {serviceAccountName: web, containers: [{name: c}]}
status: {podIP: 10.0.0.1, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: STRICT}}
`

const (
	workloadAddress = "10.0.0.1:8080"
	workloadName    = "spiffe://cluster.local/ns/default/sa/web"
)

// pod is a workload with an agent and a real Envoy, and a control plane for them, in a network namespace of the
// test's. Nothing of it but the network is made up.
type pod struct {
	t            *testing.T
	config, root string        // directories of the control plane and of the agent
	own          *ca.Authority // that of the control plane
}

// serve does something until the test ends, which it has to do without an error.
func serve(t *testing.T, do func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- do(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil && !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// serveHTTP serves at an address, by TLS where there are settings for that.
func serveHTTP(t *testing.T, address string, settings *tls.Config, handler http.HandlerFunc) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if settings != nil {
		l = tls.NewListener(l, settings)
	}
	srv := &http.Server{Handler: handler}
	serve(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
		return srv.Serve(l)
	})
}

// newCA makes a CA of a trust domain.
func newCA(t *testing.T, domain string) *ca.Authority {
	t.Helper()
	a, err := ca.New(ca.Options{TrustDomain: domain})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// newPod makes a pod in a mesh, whose agent does not run yet.
func newPod(t *testing.T, mesh map[string]any) *pod {
	t.Helper()
	root, err := os.MkdirTemp("", "pod") // short, for the sockets' sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(root) })
	p := &pod{t: t, config: t.TempDir(), root: root}
	caDir := t.TempDir()
	if p.own, err = ca.New(ca.Options{Dir: caDir}); err != nil {
		t.Fatal(err)
	}
	token, keys := identitytest.Token(t, "default", "web")
	write(t, p.config, map[string]string{"workload.yaml": workload})
	p.configure(mesh)
	serve(t, func(ctx context.Context) error {
		return control.Run(ctx, control.Config{
			ConfigDirs: []string{p.config}, Domain: "cluster.local", ClusterID: "Kubernetes", SecureGRPCAddr: "127.0.0.1:15012",
			CADir: caDir, TokenJWKS: keys, TokenIssuer: identitytest.Issuer, TokenAudiences: []string{identitytest.Audience},
			MinBundleRefresh: time.Millisecond, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		})
	})
	serveHTTP(t, workloadAddress, nil, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "served") })
	write(t, root, map[string]string{
		"var/run/secrets/istio/root-cert.pem": string(p.own.RootPEM()), "var/run/secrets/tokens/istio-token": token,
		"etc/istio/pod/labels": "app=\"web\"\n",
	})
	return p
}

// run runs the agent, with further variables in its environment, until the test ends.
func (p *pod) run(environ ...string) {
	p.t.Helper()
	proxy := fmt.Sprintf("{binaryPath: %q, discoveryAddress: 'localhost:15012', concurrency: 1}", envoytest.Path(p.t))
	environ = append([]string{
		"INSTANCE_IP=10.0.0.1", "POD_NAME=web-0", "POD_NAMESPACE=default", "SERVICE_ACCOUNT=web", "PROXY_CONFIG=" + proxy,
	}, environ...)
	args, hurry := []string{"proxy", "sidecar", "--root", p.root}, make(chan struct{})
	agent := newRootCommand(args, environ, hurry)
	agent.SetArgs(args)
	agent.SetErr(os.Stderr)
	serve(p.t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, func() { close(hurry) })() // nothing is drained
		return agent.ExecuteContext(ctx)
	})
}

// configure gives the mesh another MeshConfig.
func (p *pod) configure(mesh map[string]any) {
	p.t.Helper()
	text, err := json.Marshal(mesh)
	if err != nil {
		p.t.Fatal(err)
	}
	object, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "istio", "namespace": "istio-system"},
		"data": map[string]any{"mesh": string(text)},
	})
	if err != nil {
		p.t.Fatal(err)
	}
	part := filepath.Join(p.config, ".part")
	if err := errors.Join(os.WriteFile(part, object, 0o600), os.Rename(part, filepath.Join(p.config, "mesh.yaml"))); err != nil {
		p.t.Fatal(err)
	}
}

// call makes a request to the workload on a new connection, as a client has it whose proxy has a certificate, and
// gives the certificate of the workload.
func (p *pod) call(client tls.Certificate) (server *x509.Certificate, err error) {
	dialer := &net.Dialer{Control: func(_, _ string, c syscall.RawConn) error {
		var failed error
		err := c.Control(func(fd uintptr) {
			failed = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, envoytest.RedirectMark)
		})
		return errors.Join(err, failed)
	}}
	settings := &tls.Config{
		Certificates: []tls.Certificate{client}, NextProtos: []string{"istio-http/1.1"},
		InsecureSkipVerify: true, // a SPIFFE certificate has no host name; the test looks at it
	}
	transport := &http.Transport{DisableKeepAlives: true, DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		conn, err := (&tls.Dialer{NetDialer: dialer, Config: settings}).DialContext(ctx, "tcp", workloadAddress)
		if err != nil {
			return nil, err
		}
		server = conn.(*tls.Conn).ConnectionState().PeerCertificates[0]
		return conn, nil
	}}
	defer transport.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(p.t.Context(), 20*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://web/", nil)
	if err != nil {
		return nil, err
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return server, err
	}
	defer res.Body.Close()
	if text, err := io.ReadAll(res.Body); err != nil || string(text) != "served" {
		return server, fmt.Errorf("%s: %q, %w", res.Status, text, err)
	}
	return server, nil
}

// taken waits until the workload takes a client, or until it does not.
func (p *pod) taken(what string, client tls.Certificate, want bool) {
	p.t.Helper()
	envoytest.Eventually(p.t, what, func() bool {
		_, err := p.call(client)
		return (err == nil) == want
	})
}
