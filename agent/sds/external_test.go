package sds_test

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/agent/sds"
	"github.com/pilothouse-mesh/pilothouse/agent/secret"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// spire stands in for a SPIRE agent: it serves a workload by Envoy's SDS on a Unix socket, under the names that
// SPIRE's SDS has by default, and renews when it is told to.
type spire struct {
	secretservice.UnimplementedSecretDiscoveryServiceServer
	t       *testing.T
	next    chan []*tlsv3.Secret
	refused chan string
}

func (s *spire) StreamSecrets(stream secretservice.SecretDiscoveryService_StreamSecretsServer) error {
	req, err := stream.Recv()
	if err != nil {
		return err
	}
	if names := req.GetResourceNames(); len(names) != 2 || names[0] != "default" || names[1] != "ROOTCA" {
		s.t.Errorf("asked for %v", names)
	}
	for {
		select {
		case <-stream.Context().Done():
			return nil
		case secrets, ok := <-s.next:
			if !ok {
				return io.ErrUnexpectedEOF // the agent is restarted
			}
			resp := &discovery.DiscoveryResponse{TypeUrl: req.GetTypeUrl(), Nonce: "n", VersionInfo: "v"}
			for _, one := range secrets {
				a, err := anypb.New(one)
				if err != nil {
					return err
				}
				resp.Resources = append(resp.Resources, a)
			}
			if err := stream.Send(resp); err != nil {
				return err
			}
			ack, err := stream.Recv()
			if err != nil {
				return err
			}
			if ack.GetResponseNonce() != "n" {
				s.t.Errorf("acknowledged %q", ack.GetResponseNonce())
			}
			if d := ack.GetErrorDetail(); d != nil {
				s.refused <- d.GetMessage()
			}
		}
	}
}

// secrets gives what SPIRE serves of a workload that a CA has signed: its roots in settings of Envoy's validator,
// beside those of a domain that it is federated with.
func secrets(t *testing.T, cert, roots *secret.Value) []*tlsv3.Secret {
	t.Helper()
	data := func(b []byte) *corev3.DataSource {
		return &corev3.DataSource{Specifier: &corev3.DataSource_InlineBytes{InlineBytes: b}}
	}
	validator, err := anypb.New(&tlsv3.SPIFFECertValidatorConfig{TrustDomains: []*tlsv3.SPIFFECertValidatorConfig_TrustDomain{
		{Name: "far.example", TrustBundle: data(cert.CertificateChain)},
		{Name: "cluster.local", TrustBundle: data(roots.Roots)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return []*tlsv3.Secret{
		{Name: "default", Type: &tlsv3.Secret_TlsCertificate{TlsCertificate: &tlsv3.TlsCertificate{
			CertificateChain: data(cert.CertificateChain), PrivateKey: data(cert.PrivateKey),
		}}},
		{Name: "ROOTCA", Type: &tlsv3.Secret_ValidationContext{ValidationContext: &tlsv3.CertificateValidationContext{
			CustomValidatorConfig: &corev3.TypedExtensionConfig{Name: "envoy.tls.cert_validator.spiffe", TypedConfig: validator},
		}}},
	}
}

func serveSpire(t *testing.T, socket string) *spire {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	s := &spire{t: t, next: make(chan []*tlsv3.Secret), refused: make(chan string, 10)}
	g := grpc.NewServer(grpc.WaitForHandlers(true))
	secretservice.RegisterSecretDiscoveryServiceServer(g, s)
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	t.Cleanup(func() { g.Stop(); <-done })
	return s
}

// issue has a CA sign for the workload, as SPIRE's server would.
func issue(t *testing.T, address, rootFile string) (cert, roots *secret.Value) {
	t.Helper()
	m := secret.New(secret.Config{
		Address: address, TLS: secret.ServerTLS(rootFile, "istiod"), Logger: quiet, Token: func() (string, error) { return "token", nil },
	})
	ctx, cancel := context.WithCancel(t.Context())
	first, done := m.Changed(), make(chan error, 1)
	go func() { done <- m.Run(ctx) }()
	<-first
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	return m.WorkloadCertificate(), m.Roots()
}

// A real Envoy serves with the certificate that another than our CA gives by the workload's socket, with the next
// one when that renews it, and goes on while it is away.
func TestEnvoyTakesTheIdentityOfTheWorkloadsSocket(t *testing.T) {
	authority, address, rootFile := serveCA(t, ca.Options{})
	dir := t.TempDir()
	theirs, ours := filepath.Join(dir, "socket"), filepath.Join(dir, "SDS")
	if secret.Served(t.Context(), theirs) {
		t.Error("a socket that is not there is served")
	}
	s := serveSpire(t, theirs)
	if !secret.Served(t.Context(), theirs) {
		t.Error("it is not served")
	}
	manager := secret.New(secret.Config{Socket: theirs, Logger: quiet})
	run(t, manager.Run)
	run(t, sds.New(sds.Config{SocketPath: ours, Secrets: manager, Logger: quiet}).Run)
	port := startEnvoy(t, ours)
	serial := func(cert *secret.Value) string {
		pair, err := tls.X509KeyPair(cert.CertificateChain, cert.PrivateKey)
		if err != nil {
			t.Fatal(err)
		}
		return pair.Leaf.SerialNumber.String()
	}
	serves := func(what string, cert *secret.Value) {
		t.Helper()
		envoytest.Eventually(t, what, func() bool {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			if manager.WorkloadCertificate() == nil {
				return false
			}
			got, err := call(ctx, port, manager, authority)
			return err == nil && got == serial(cert)
		})
	}
	first, roots := issue(t, address, rootFile)
	s.next <- secrets(t, first, roots)
	serves("the first certificate", first)
	second, _ := issue(t, address, rootFile)
	s.next <- secrets(t, second, roots)
	serves("the next one", second)
	torn := secrets(t, first, roots)
	torn[0].GetTlsCertificate().PrivateKey = torn[0].GetTlsCertificate().CertificateChain
	s.next <- torn
	if why := <-s.refused; why == "" {
		t.Error("refused without a reason")
	}
	serves("the former after one that cannot be used", second)
	close(s.next)
	serves("the former while the other is away", second)
}

// A socket that nobody serves any more is no identity.
func TestAStaleSocketIsNotServed(t *testing.T) {
	path := filepath.Join(t.TempDir(), "socket")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatal(err)
	}
	if secret.Served(t.Context(), path) {
		t.Error("it is served")
	}
}
