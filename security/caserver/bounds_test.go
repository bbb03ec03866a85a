package caserver

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	security "istio.io/api/security/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// dial serves on loopback, and gives a connection.
func dial(t *testing.T, s *Server) *grpc.ClientConn {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	s.Register(g)
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		conn.Close()
		g.Stop()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return conn
}

func TestNothingIsReadBeforeProof(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	who := &caller{}
	conn := dial(t, New(authority, who, slog.New(slog.DiscardHandler), nil))
	// A caller that sends nothing at all is told: nobody waited for its request.
	stream, err := conn.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, "/istio.v1.auth.IstioCertificateService/CreateCertificate")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.RecvMsg(&security.IstioCertificateResponse{}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("got %v", err)
	}
	client := security.NewIstioCertificateServiceClient(conn)
	if _, err := client.CreateCertificate(t.Context(), &security.IstioCertificateRequest{Csr: strings.Repeat("x", 3<<20)}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("large, without proof: %v", err)
	}
	who.id = auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "reviews"}
	resp, err := client.CreateCertificate(t.Context(), &security.IstioCertificateRequest{Csr: csr(t)})
	if err != nil || len(resp.GetCertChain()) == 0 {
		t.Errorf("with proof: %v", err)
	}
	if _, err := client.CreateCertificate(t.Context(), &security.IstioCertificateRequest{Csr: strings.Repeat("x", 3<<20)}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("large, with proof: %v", err)
	}
}

// named is a caller whose service account stands in the context.
type named struct{}

type nameKey struct{}

func (named) Prove(ctx context.Context) (auth.Proof, error) {
	name, _ := ctx.Value(nameKey{}).(string)
	return auth.Proof{Caller: auth.Caller{Identity: auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: name}}, At: time.Now()}, nil
}

func TestOneIdentityDoesNotTakeAllPlaces(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s := New(authority, named{}, slog.New(slog.DiscardHandler), nil)
	s.perIdent = 2
	as := func(name string) context.Context { return context.WithValue(t.Context(), nameKey{}, name) }
	var leaves []func()
	for range 2 {
		_, leave, err := s.enter(as("a"))
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, leave)
	}
	if _, _, err := s.enter(as("a")); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one more of the same: %v", err)
	}
	if _, err := s.CreateCertificate(as("b"), &security.IstioCertificateRequest{Csr: csr(t)}); err != nil {
		t.Errorf("another: %v", err)
	}
	for _, leave := range leaves {
		leave()
	}
	if _, err := s.CreateCertificate(as("a"), &security.IstioCertificateRequest{Csr: csr(t)}); err != nil || len(s.present) != 0 {
		t.Errorf("later: %v; %d are left", err, len(s.present))
	}
}
