package sds

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secretservice "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"go.uber.org/goleak"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pilothouse-mesh/pilothouse/agent/secret"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// store is a set of secrets that a test changes.
type store struct {
	mu      sync.Mutex
	values  map[string]*secret.Value
	changed chan struct{}
}

func newStore() *store {
	return &store{values: map[string]*secret.Value{}, changed: make(chan struct{})}
}

func (s *store) Secret(name string) (*secret.Value, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if name == "unknown" {
		return nil, errors.New(`no secret "unknown"`)
	}
	return s.values[name], nil
}

func (s *store) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

func (s *store) put(name, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	v := &secret.Value{Version: version, CertificateChain: []byte("chain " + version), PrivateKey: []byte("key")}
	if name == secret.Root {
		v = &secret.Value{Version: version, Roots: []byte("roots " + version)}
	}
	s.values[name] = v
	close(s.changed)
	s.changed = make(chan struct{})
}

func start(t *testing.T, secrets Secrets) secretservice.SecretDiscoveryServiceClient {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "socket")
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() {
		done <- New(Config{SocketPath: path, Secrets: secrets, Logger: slog.New(slog.DiscardHandler)}).Run(ctx)
	}()
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = conn.Close()
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket is left behind")
		}
	})
	return secretservice.NewSecretDiscoveryServiceClient(conn)
}

func names(t *testing.T, resp *discovery.DiscoveryResponse) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, r := range resp.GetResources() {
		var s tlsv3.Secret
		if err := r.UnmarshalTo(&s); err != nil {
			t.Fatal(err)
		}
		out[s.GetName()] = string(s.GetTlsCertificate().GetCertificateChain().GetInlineBytes()) +
			string(s.GetValidationContext().GetTrustedCa().GetInlineBytes())
	}
	return out
}

func TestStream(t *testing.T) {
	s := newStore()
	stream, err := start(t, s).StreamSecrets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	send := func(req *discovery.DiscoveryRequest) {
		t.Helper()
		req.TypeUrl = secretType
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
	}
	recv := func() *discovery.DiscoveryResponse {
		t.Helper()
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	send(&discovery.DiscoveryRequest{ResourceNames: []string{"default"}})
	// The stream waits for the first certificate; an empty answer never comes.
	s.put("default", "1")
	resp := recv()
	if got := names(t, resp); len(got) != 1 || got["default"] != "chain 1" {
		t.Fatalf("first: %v", got)
	}
	send(&discovery.DiscoveryRequest{ResourceNames: []string{"default"}, ResponseNonce: resp.GetNonce(), VersionInfo: resp.GetVersionInfo()})
	s.put(secret.Root, "1") // nobody has asked for it
	s.put("default", "2")
	resp = recv()
	if got := names(t, resp); len(got) != 1 || got["default"] != "chain 2" {
		t.Fatalf("renewal: %v", got)
	}
	// A rejected secret is not sent again before it changes.
	send(&discovery.DiscoveryRequest{
		ResourceNames: []string{"default"}, ResponseNonce: resp.GetNonce(), ErrorDetail: &rpcstatus.Status{Message: "bad key"},
	})
	send(&discovery.DiscoveryRequest{ResourceNames: []string{"default", secret.Root, "unknown"}, ResponseNonce: resp.GetNonce()})
	resp = recv()
	if got := names(t, resp); len(got) != 1 || got[secret.Root] != "roots 1" {
		t.Fatalf("added name: %v", got)
	}
	s.put("default", "3")
	if got := names(t, recv()); got["default"] != "chain 3" {
		t.Fatalf("after NACK: %v", got)
	}
}

func TestDelta(t *testing.T) {
	s := newStore()
	s.put("default", "1")
	stream, err := start(t, s).DeltaSecrets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	roundTrip := func(req *discovery.DeltaDiscoveryRequest) *discovery.DeltaDiscoveryResponse {
		t.Helper()
		req.TypeUrl = secretType
		if err := stream.Send(req); err != nil {
			t.Fatal(err)
		}
		resp, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	resp := roundTrip(&discovery.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{"default", secret.Root}})
	if len(resp.GetResources()) != 1 || resp.GetResources()[0].GetVersion() != "1" || len(resp.GetRemovedResources()) > 0 {
		t.Fatalf("first: %v", resp)
	}
	// A name that is asked for again is answered in full, and an unknown one ends Envoy's wait.
	resp = roundTrip(&discovery.DeltaDiscoveryRequest{
		ResponseNonce: resp.GetNonce(), ResourceNamesSubscribe: []string{"default", "unknown"},
	})
	if len(resp.GetResources()) != 1 || len(resp.GetRemovedResources()) != 1 || resp.GetRemovedResources()[0] != "unknown" {
		t.Fatalf("again: %v", resp)
	}
	s.put(secret.Root, "1")
	if resp, err = stream.Recv(); err != nil || resp.GetResources()[0].GetName() != secret.Root || len(resp.GetRemovedResources()) > 0 {
		t.Fatalf("late: %v %v", resp, err)
	}
	// What a client claims to have is not sent.
	second, err := start(t, s).DeltaSecrets(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	stream = second
	resp = roundTrip(&discovery.DeltaDiscoveryRequest{
		ResourceNamesSubscribe: []string{"default", secret.Root}, InitialResourceVersions: map[string]string{"default": "1"},
	})
	if len(resp.GetResources()) != 1 || resp.GetResources()[0].GetName() != secret.Root {
		t.Fatalf("reconnect: %v", resp)
	}
}

func TestFetchAndWrongType(t *testing.T) {
	s := newStore()
	client := start(t, s)
	req := &discovery.DiscoveryRequest{ResourceNames: []string{"default"}, TypeUrl: secretType}
	if _, err := client.FetchSecrets(t.Context(), req); err == nil {
		t.Error("fetched what is not there")
	}
	s.put("default", "1")
	resp, err := client.FetchSecrets(t.Context(), req)
	if err != nil || names(t, resp)["default"] != "chain 1" {
		t.Error(resp, err)
	}
	req.TypeUrl = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	if _, err := client.FetchSecrets(t.Context(), req); err == nil {
		t.Error("another type is accepted")
	}
}
