package discovery

import (
	"context"
	"crypto/tls"
	"net"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	security "istio.io/api/security/v1alpha1"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// running starts a control plane of an empty mesh, for the test.
func running(t *testing.T, change func(*plane)) *plane {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, "a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n")
	cfg := testConfig(t, dir)
	cfg.MaxAnonymousStreams = 10
	p := newPlane(cfg)
	if change != nil {
		change(p)
	}
	serve(t, p.run)
	envoytest.Eventually(t, "serving", p.serving.Load)
	return p
}

func dialGRPC(t *testing.T, addr string, creds credentials.TransportCredentials) *grpc.ClientConn {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(creds))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// ask sends one request for clusters, and gives what its stream ends with.
func ask(ctx context.Context, t *testing.T, conn *grpc.ClientConn, names ...string) error {
	t.Helper()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xdsres.Clusters.URL(), ResourceNamesSubscribe: names}); err != nil {
		t.Log(err) // the stream says why
	}
	_, err = stream.Recv()
	return err
}

func TestRequestsWithoutProofAreSmall(t *testing.T) {
	p := running(t, nil)
	plain := dialGRPC(t, p.cfg.GRPCAddr, insecure.NewCredentials())
	secure := dialGRPC(t, p.cfg.SecureGRPCAddr, credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})) // of a caller that trusts anyone
	names := strings.Split(strings.Repeat(strings.Repeat("x", 999)+",", 600), ",")
	if err := ask(t.Context(), t, plain, names...); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("600 kB in plain text: %v", err)
	}
	if err := ask(t.Context(), t, plain, names[:100]...); status.Code(err) != codes.InvalidArgument { // it has no node
		t.Errorf("100 kB in plain text: %v", err)
	}
	if err := ask(t.Context(), t, secure, names...); status.Code(err) != codes.Unauthenticated {
		t.Errorf("over TLS without proof: %v", err)
	}
	if _, err := security.NewIstioCertificateServiceClient(secure).CreateCertificate(t.Context(), &security.IstioCertificateRequest{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("a certificate without proof: %v", err)
	}
	large := metadata.AppendToOutgoingContext(t.Context(), "x", strings.Repeat("x", 2*maxHeaders))
	for _, conn := range []*grpc.ClientConn{plain, secure} {
		if err := ask(large, t, conn); err == nil || status.Code(err) == codes.InvalidArgument || status.Code(err) == codes.Unauthenticated {
			t.Errorf("headers of 128 KiB: %v", err)
		}
	}
}

func TestIdleConnectionsEnd(t *testing.T) {
	p := running(t, func(p *plane) { p.idle = 50 * time.Millisecond })
	conn, err := net.Dial("tcp", p.cfg.GRPCAddr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")); err != nil { // and SETTINGS
		t.Fatal(err)
	}
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	const goAway = 7
	room := make([]byte, 4096)
	for {
		n, err := conn.Read(room)
		for at := 0; at+9 <= n; at += 9 + int(room[at])<<16 + int(room[at+1])<<8 + int(room[at+2]) {
			if room[at+3] == goAway {
				return
			}
		}
		if err != nil {
			t.Fatalf("an idle connection is not told to go: %v", err)
		}
	}
}

func TestReflectionIsBounded(t *testing.T) {
	p := running(t, nil)
	client := reflectionv1.NewServerReflectionClient(dialGRPC(t, p.cfg.GRPCAddr, insecure.NewCredentials()))
	list := &reflectionv1.ServerReflectionRequest{MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{}}
	answered := func() error {
		stream, err := client.ServerReflectionInfo(t.Context())
		if err != nil {
			return err
		}
		if err := stream.Send(list); err != nil {
			t.Log(err)
		}
		_, err = stream.Recv()
		return err
	}
	for i := range maxReflections {
		if err := answered(); err != nil {
			t.Errorf("%d: %v", i, err)
		}
	}
	if err := answered(); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one more: %v", err)
	}
}

// What proves a connection finds it by the addresses that gRPC gives.
func TestProofIsNotedOfItsConnection(t *testing.T) {
	c := newConnections(1024, prometheus.NewRegistry())
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error {
		caller, _ := peer.FromContext(s.Context())
		c.prove(caller, "someone")
		return status.Error(codes.Unimplemented, "")
	}))
	done := make(chan error, 1)
	go func() { done <- g.Serve(&guardedListener{Listener: l, all: c}) }()
	conn := dialGRPC(t, l.Addr().String(), insecure.NewCredentials())
	if err := ask(t.Context(), t, conn); status.Code(err) != codes.Unimplemented {
		t.Error(err)
	}
	c.mu.Lock()
	if c.number != 1 || c.unproven.Len() != 0 || c.proven["someone"] == nil {
		t.Errorf("%d with proof, %d without", c.number, c.unproven.Len())
	}
	c.mu.Unlock()
	g.Stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.open) != 0 || c.number != 0 {
		t.Errorf("%d are left", len(c.open))
	}
}
