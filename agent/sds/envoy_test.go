package sds_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pilothouse-mesh/pilothouse/agent/sds"
	"github.com/pilothouse-mesh/pilothouse/agent/secret"
	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/security/caserver"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

var quiet = slog.New(slog.DiscardHandler)

type anyToken struct{}

func (anyToken) Verify(context.Context, string) (auth.Caller, error) {
	return auth.NewCaller("cluster.local", "default", "reviews", "")
}

// startCA serves a CA whose certificates live for ttl.
func startCA(t *testing.T, ttl time.Duration) (authority *ca.Authority, address, rootFile string) {
	t.Helper()
	return serveCA(t, ca.Options{DefaultTTL: ttl, MaxTTL: ttl})
}

func serveCA(t *testing.T, opts ca.Options) (authority *ca.Authority, address, rootFile string) {
	t.Helper()
	authority, err := ca.New(opts)
	if err != nil {
		t.Fatal(err)
	}
	rootFile = filepath.Join(t.TempDir(), "root-cert.pem")
	if err := os.WriteFile(rootFile, authority.RootPEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		GetCertificate: authority.ServerCertificate([]string{"istiod"}),
	})))
	authenticator := auth.New(auth.Config{TrustDomain: "cluster.local", Tokens: []auth.TokenVerifier{anyToken{}}})
	caserver.New(authority, authenticator, quiet, nil).Register(srv)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() { srv.Stop(); <-done })
	return authority, l.Addr().String(), rootFile
}

// run runs a part until the test ends.
func run(t *testing.T, part func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- part(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

const bootstrap = `
node: {id: test, cluster: test}
static_resources:
  clusters:
  - name: sds-grpc
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: sds-grpc
      endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: %q}}}}]}]
  listeners:
  - name: tls
    address: {socket_address: {address: 127.0.0.1, port_value: %d}}
    filter_chains:
    - transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          require_client_certificate: true
          common_tls_context:
            tls_certificate_sds_secret_configs: [{name: default, sds_config: &sds {resource_api_version: V3, initial_fetch_timeout: 0s, api_config_source: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: sds-grpc}}]}}}]
            validation_context_sds_secret_config: {name: "ROOTCA-with:other.example", sds_config: *sds}
      filters:
      - %s
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: tls
          route_config: {virtual_hosts: [{name: all, domains: ["*"], routes: [{match: {prefix: /}, direct_response: {status: 200}}]}]}
          http_filters: [{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]
`

// startEnvoy runs a real Envoy with a TLS listener whose secrets come from socket.
func startEnvoy(t *testing.T, socket string) (port int) {
	t.Helper()
	port = envoytest.FreePort(t)
	chain := envoy.FilterChain(&ir.FilterChain{TLS: &ir.DownstreamTLS{RootSecret: ir.SecretRootsWith([]string{"other.example"})}}, false, envoy.Unshared{})
	guard, err := protojson.Marshal(chain.GetFilters()[0])
	if err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(t.TempDir(), "envoy.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, bootstrap, socket, port, guard), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(filepath.Join(t.TempDir(), "envoy.log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(envoytest.Path(t), "-c", config, "--disable-hot-restart", "--concurrency", "1", "-l", "warning")
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			out, _ := os.ReadFile(log.Name())
			t.Logf("Envoy: %s", out)
		}
		_ = log.Close()
	})
	return port
}

// envoyOf runs an Envoy that serves with the certificate that a manager gets from a CA, once there is one. crl is
// the file of what the CA has revoked, "" for none.
func envoyOf(t *testing.T, address, rootFile, crl string) (manager *secret.Manager, port int) {
	t.Helper()
	manager = secret.New(secret.Config{
		Address: address, TLS: secret.ServerTLS(rootFile, "istiod"), Logger: quiet, CRLFile: crl,
		Token: func() (string, error) { return "token", nil },
	})
	first := manager.Changed()
	socket := filepath.Join(t.TempDir(), "socket")
	run(t, manager.Run)
	run(t, sds.New(sds.Config{SocketPath: socket, Secrets: manager, Logger: quiet}).Run)
	port = startEnvoy(t, socket)
	<-first
	return manager, port
}

// A real Envoy serves with the certificate that the agent got, and after a renewal with the new
// one; no connection fails on the way.
func TestEnvoyTakesRenewedCertificate(t *testing.T) {
	authority, address, rootFile := startCA(t, 4*time.Second)
	manager, port := envoyOf(t, address, rootFile, "")

	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	serials := map[string]bool{}
	connections := 0
	for len(serials) < 3 {
		serial, err := call(ctx, port, manager, authority)
		switch {
		case ctx.Err() != nil:
			t.Fatalf("%d certificates seen in %d connections: %v", len(serials), connections, err)
		case err == nil:
			serials[serial] = true
			connections++
		case connections > 0:
			t.Fatalf("connection %d failed: %v", connections, err)
		default: // Envoy is starting
		}
	}
	t.Logf("%d connections over %d certificates", connections, len(serials))
}

// call makes a request on a new connection, and gives the serial number of Envoy's certificate.
func call(ctx context.Context, port int, manager *secret.Manager, authority *ca.Authority) (string, error) {
	own := manager.WorkloadCertificate()
	pair, err := tls.X509KeyPair(own.CertificateChain, own.PrivateKey)
	if err != nil {
		return "", err
	}
	return callAs(ctx, port, pair, authority)
}

// callAs makes a request on a new connection by another's certificate.
func callAs(ctx context.Context, port int, pair tls.Certificate, authority *ca.Authority) (string, error) {
	var serial string
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{
		Certificates:       []tls.Certificate{pair},
		InsecureSkipVerify: true, // a SPIFFE certificate has no host name; it is verified here:
		VerifyConnection: func(state tls.ConnectionState) error {
			leaf := state.PeerCertificates[0]
			serial = leaf.SerialNumber.String()
			if _, err := auth.FromCertificate(leaf); err != nil {
				return err
			}
			_, err := leaf.Verify(x509.VerifyOptions{Roots: authority.Roots(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
			return err
		},
	}}
	defer transport.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, fmt.Sprintf("https://127.0.0.1:%d/", port), nil)
	if err != nil {
		return "", err
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	if err = errors.Join(err, resp.Body.Close()); err != nil {
		return "", err
	}
	if resp.StatusCode != http.StatusOK {
		return "", fmt.Errorf("status %s", resp.Status)
	}
	return serial, nil
}
