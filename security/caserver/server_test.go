package caserver

import (
	"context"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"
	security "istio.io/api/security/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

type caller struct{ id auth.Identity }

func (c *caller) Prove(context.Context) (auth.Proof, error) {
	if c.id == (auth.Identity{}) {
		return auth.Proof{}, status.Error(codes.Unauthenticated, "nobody")
	}
	return auth.Proof{Caller: auth.Caller{Identity: c.id}, At: time.Now(), By: auth.ByToken}, nil
}

func csr(t *testing.T) string {
	t.Helper()
	return keyRequest(t, elliptic.P256())
}

func TestCreateCertificate(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reg := prometheus.NewRegistry()
	reviews := auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "reviews"}
	who := &caller{id: reviews}
	s := New(authority, who, slog.New(slog.DiscardHandler), reg)
	ctx := context.Background()

	resp, err := s.CreateCertificate(ctx, &security.IstioCertificateRequest{Csr: csr(t), ValidityDuration: 600})
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(resp.CertChain[0]))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if leaf.URIs[0].String() != reviews.String() || time.Until(leaf.NotAfter) > 10*time.Minute {
		t.Errorf("leaf for %v until %v", leaf.URIs, leaf.NotAfter)
	}

	if _, err := s.CreateCertificate(ctx, &security.IstioCertificateRequest{Csr: "x"}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("bad request: %v", err)
	}
	other, _ := structpb.NewStruct(map[string]any{"ImpersonatedIdentity": "spiffe://cluster.local/ns/a/sa/b"})
	_, err = s.CreateCertificate(ctx, &security.IstioCertificateRequest{Csr: csr(t), Metadata: other})
	if status.Code(err) != codes.PermissionDenied {
		t.Errorf("impersonation: %v", err)
	}
	who.id = auth.Identity{}
	if _, err := s.CreateCertificate(ctx, &security.IstioCertificateRequest{Csr: csr(t)}); status.Code(err) != codes.Unauthenticated {
		t.Errorf("anonymous: %v", err)
	}
	for name, want := range map[string]float64{
		"csr_count": 4, "success_cert_issuance_count": 1, "authentication_failure_count": 1, "csr_parsing_err_count": 1,
	} {
		if got := value(t, reg, "citadel_server_"+name); got != want {
			t.Errorf("%s = %v, want %v", name, got, want)
		}
	}
	if got := value(t, reg, "citadel_server_root_cert_expiry_timestamp"); got < float64(time.Now().Unix()) {
		t.Errorf("root expiry = %v", got)
	}
}

func value(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue() + f.GetMetric()[0].GetGauge().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

func TestSeconds(t *testing.T) {
	for n, want := range map[int64]time.Duration{-1: 0, 0: 0, 60: time.Minute, math.MaxInt64: math.MaxInt64} {
		if got := seconds(n); got != want {
			t.Errorf("seconds(%d) = %v", n, got)
		}
	}
}
