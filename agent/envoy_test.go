package agent

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	grpcstatus "google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	security "istio.io/api/security/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/agent/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/agent/envoy"
	"github.com/pilothouse-mesh/pilothouse/agent/proxyconfig"
	"github.com/pilothouse-mesh/pilothouse/proto/nds"
	"github.com/pilothouse-mesh/pilothouse/proto/signer"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// testConfig is the agent of a sidecar that lives in a temporary directory, at ports of its own.
func testConfig(t *testing.T) Config {
	t.Helper()
	root := t.TempDir()
	proxy, err := proxyconfig.Resolve(proxyconfig.Layer{Source: "test", Text: fmt.Sprintf(
		`{"statusPort":%d,"proxyAdminPort":%d,"binaryPath":%q,"discoveryAddress":"127.0.0.1:15012","drainDuration":"1s"}`,
		envoytest.FreePort(t), envoytest.FreePort(t), envoytest.Path(t))})
	if err != nil {
		t.Fatal(err)
	}
	rootCert := filepath.Join(root, "root-cert.pem")
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	write(t, rootCert, string(authority.RootPEM()))
	return Config{
		Root: root,
		Node: bootstrap.Node{
			Type: "sidecar", IPs: []string{"127.0.0.1"}, Pod: "reviews-1", Namespace: "default",
			Domain: "default.svc.cluster.local", ServiceAccount: "reviews", Labels: map[string]string{"app": "reviews"},
		},
		Proxy: proxy,
		Envoy: EnvoyConfig{
			LogLevel: "warning", ComponentLogLevel: "misc:error", Concurrency: 1,
			HealthPort: envoytest.FreePort(t), PrometheusPort: envoytest.FreePort(t),
			Drain: envoy.DrainPolicy{InboundOnly: true, Wait: 50 * time.Millisecond},
		},
		Trust:  TrustConfig{XDSRoot: rootCert, CARoot: rootCert, TrustDomain: "cluster.local", ClusterID: "Kubernetes"},
		Stdout: os.Stdout, Stderr: os.Stderr,
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

const bearer = "a-token"

// controlPlane is CA and discovery server in one, as the agent sees them on port 15012. It sends
// one listener that wants the workload's certificate, and a name table.
type controlPlane struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	security.UnimplementedIstioCertificateServiceServer
	t         *testing.T
	authority *ca.Authority
	listener  *anypb.Any
}

// serve gives the control plane's address.
func (c *controlPlane) serve() string { return c.serveAs(c) }

// serveAs has another discovery server in the control plane's place.
func (c *controlPlane) serveAs(xds discovery.AggregatedDiscoveryServiceServer) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		c.t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{
		GetCertificate: c.authority.ServerCertificate([]string{"istiod.istio-system.svc"}),
	})))
	discovery.RegisterAggregatedDiscoveryServiceServer(srv, xds)
	security.RegisterIstioCertificateServiceServer(srv, c)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	c.t.Cleanup(func() {
		srv.Stop()
		<-done
	})
	return l.Addr().String()
}

func authenticated(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if got := md.Get("authorization"); len(got) != 1 || got[0] != "Bearer "+bearer {
		return grpcstatus.Errorf(codes.Unauthenticated, "authorization %v", got)
	}
	return nil
}

// CreateCertificate signs for the one workload of the test.
func (c *controlPlane) CreateCertificate(ctx context.Context, req *security.IstioCertificateRequest) (*security.IstioCertificateResponse, error) {
	if err := authenticated(ctx); err != nil {
		return nil, err
	}
	id := auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "reviews"}
	chain, err := c.authority.SignWorkload([]byte(req.GetCsr()), id, time.Duration(req.GetValidityDuration())*time.Second)
	return &security.IstioCertificateResponse{CertChain: chain}, err
}

// DeltaAggregatedResources answers each type once.
func (c *controlPlane) DeltaAggregatedResources(s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	if err := authenticated(s.Context()); err != nil {
		return err
	}
	for {
		req, err := s.Recv()
		if err != nil {
			return nil
		}
		if req.GetTypeUrl() == signer.Type { // no subscription, and no answer
			continue
		}
		if req.GetErrorDetail() != nil {
			c.t.Errorf("rejected: %v", req.GetErrorDetail())
		}
		if req.GetResponseNonce() != "" {
			continue
		}
		res := &discovery.DeltaDiscoveryResponse{TypeUrl: req.GetTypeUrl(), Nonce: req.GetTypeUrl(), SystemVersionInfo: "1"}
		switch {
		case strings.HasSuffix(req.GetTypeUrl(), "v3.Listener"):
			res.Resources = []*discovery.Resource{{Name: "mtls", Version: "1", Resource: c.listener}}
		case strings.HasSuffix(req.GetTypeUrl(), "NameTable"):
			res.Resources = []*discovery.Resource{{Version: "1", Resource: c.names()}}
		}
		if err := s.Send(res); err != nil {
			return err
		}
	}
}

func (c *controlPlane) names() *anypb.Any {
	table := &nds.NameTable{Table: map[string]*nds.NameTable_NameInfo{
		"ratings.default.svc.cluster.local": {Ips: []string{"10.9.8.7"}, Registry: "Kubernetes", Shortname: "ratings", Namespace: "default"},
	}}
	data, err := proto.Marshal(table)
	if err != nil {
		c.t.Error(err)
	}
	return &anypb.Any{TypeUrl: "type.googleapis.com/istio.networking.nds.v1.NameTable", Value: data}
}

// The whole agent with a real Envoy: it becomes ready with a certificate of the CA, its listener
// speaks mutual TLS by it, names are known, metrics are merged, and a stop ends it in order.
func TestWholeAgent(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cfg := testConfig(t)
	port := envoytest.FreePort(t)
	plane := &controlPlane{t: t, authority: authority, listener: tlsListener(t, port)}
	cfg.Proxy.DiscoveryAddress = plane.serve()
	cfg.Trust.ServerName = "istiod.istio-system.svc"
	cfg.Trust.TokenFile = filepath.Join(cfg.Root, "token")
	write(t, cfg.Trust.TokenFile, bearer)
	write(t, cfg.Trust.XDSRoot, string(authority.RootPEM()))
	resolvConf := filepath.Join(cfg.Root, "resolv.conf")
	write(t, resolvConf, "nameserver 127.0.0.1\nsearch default.svc.cluster.local\n")
	dnsAddress := fmt.Sprintf("127.0.0.1:%d", envoytest.FreePort(t))
	cfg.DNS = &DNSConfig{ResolvConf: resolvConf, Addresses: []string{dnsAddress}}
	cfg.Trust.OutputDir = filepath.Join(cfg.Root, "out")
	cfg.MetricsLocalOnly = true
	cfg.Envoy.SecureMetricsPort, cfg.Envoy.SecureMergedMetricsPort = envoytest.FreePort(t), envoytest.FreePort(t)

	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- Run(ctx, cfg) }()
	health := fmt.Sprintf("http://127.0.0.1:%d/healthz/ready", cfg.Envoy.HealthPort)
	agent := fmt.Sprintf("http://127.0.0.1:%d", cfg.Proxy.StatusPort)
	await(t, ended, health)

	if peer := handshake(t, port, authority); peer != "spiffe://cluster.local/ns/default/sa/reviews" {
		t.Errorf("the listener's certificate is of %s", peer)
	}
	resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, dnsAddress)
	}}
	if ips, err := resolver.LookupHost(ctx, "ratings.default.svc.cluster.local."); err != nil || len(ips) != 1 || ips[0] != "10.9.8.7" {
		t.Errorf("ratings is at %v: %v", ips, err)
	}
	metrics := fetch(t, agent+"/stats/prometheus")
	for _, want := range []string{"istio_agent_go_goroutines ", "envoy_server_live{} 1"} {
		if !strings.Contains(metrics, want) {
			t.Errorf("merged metrics lack %s", want)
		}
	}
	envoysOwn := secureScrape(t, cfg.Envoy.SecureMetricsPort, "/stats/prometheus", cfg.Trust.OutputDir)
	merged := secureScrape(t, cfg.Envoy.SecureMergedMetricsPort, "/metrics", cfg.Trust.OutputDir)
	if !strings.Contains(envoysOwn, "envoy_server_live") || strings.Contains(envoysOwn, "istio_agent_") ||
		!strings.Contains(merged, "envoy_server_live") || !strings.Contains(merged, "istio_agent_") {
		t.Errorf("by mutual TLS Envoy's metrics are\n%.200s\nand the merged ones\n%.200s", envoysOwn, merged)
	}
	if ndsz := fetch(t, agent+"/debug/ndsz"); !strings.Contains(ndsz, "10.9.8.7") {
		t.Errorf("ndsz: %s", ndsz)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("after an orderly stop: %v", err)
	}
	if _, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", cfg.Proxy.AdminPort)); err == nil {
		t.Error("Envoy still runs")
	}
}

// secureScrape fetches metrics with the certificate that was written to a directory, which a mesh's
// Prometheus uses, and sees that nobody gets them without.
func secureScrape(t *testing.T, port int, path, certificates string) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(filepath.Join(certificates, "cert-chain.pem"), filepath.Join(certificates, "key.pem"))
	if err != nil {
		t.Fatal(err)
	}
	get := func(scheme string, own ...tls.Certificate) (string, error) {
		client := http.Client{Transport: &http.Transport{
			DisableKeepAlives: true,
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true, Certificates: own},
		}}
		res, err := client.Get(fmt.Sprintf("%s://127.0.0.1:%d%s", scheme, port, path))
		if err != nil {
			return "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return string(body), err
	}
	if body, err := get("http"); err == nil {
		t.Errorf("%d answers in plaintext: %.100s", port, body)
	}
	if body, err := get("https"); err == nil {
		t.Errorf("%d answers without a certificate: %.100s", port, body)
	}
	body, err := get("https", pair)
	if err != nil {
		t.Error(err)
	}
	return body
}

// await asks until the proxy is ready, or the agent has ended.
func await(t *testing.T, ended <-chan error, url string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(time.Minute)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	last := "no answer"
	for {
		if res, err := client.Get(url); err == nil {
			body, _ := io.ReadAll(res.Body)
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
			last = string(body)
		}
		select {
		case err := <-ended:
			t.Fatalf("the agent ended: %v", err)
		case <-deadline:
			t.Fatalf("not ready: %s", last)
		case <-tick.C:
		}
	}
}

func fetch(t *testing.T, url string) string {
	t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", url, res.Status, err)
	}
	return string(body)
}
