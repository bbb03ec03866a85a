package auth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

type tokens map[string]auth.Identity

func (v tokens) Verify(_ context.Context, token string) (auth.Caller, error) {
	name, foreign := strings.CutPrefix(token, "foreign ")
	name, pod, _ := strings.Cut(name, " of ")
	if id, ok := v[name]; ok {
		return auth.Caller{Identity: id, Pod: pod, Foreign: foreign}, nil
	}
	return auth.Caller{}, errors.New("unknown token")
}

var (
	reviews = auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "reviews"}
	details = auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "details"}
)

func workload(t *testing.T, a *ca.Authority, id auth.Identity) []*x509.Certificate {
	t.Helper()
	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	csr, _ := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	chain, err := a.SignWorkload(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr}), id, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode([]byte(chain[0]))
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return []*x509.Certificate{cert}
}

func call(certs []*x509.Certificate, authorization ...string) context.Context {
	info := credentials.TLSInfo{State: tls.ConnectionState{PeerCertificates: certs}}
	ctx := peer.NewContext(context.Background(), &peer.Peer{AuthInfo: info})
	md := metadata.MD{}
	md.Append("authorization", authorization...)
	return metadata.NewIncomingContext(ctx, md)
}

func TestAuthenticate(t *testing.T) {
	newCA := func(td string) *ca.Authority {
		a, err := ca.New(ca.Options{TrustDomain: td})
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	ours, theirs := newCA("cluster.local"), newCA("cluster.local")
	now := time.Now()
	a := auth.New(auth.Config{
		TrustDomain: "cluster.local", Roots: ours.Roots,
		Tokens: []auth.TokenVerifier{tokens{}, tokens{"secret-token": details}},
		Clock:  func() time.Time { return now },
	})
	for name, c := range map[string]struct {
		ctx  context.Context
		want auth.Identity
	}{
		"certificate":             {call(workload(t, ours, reviews)), reviews},
		"certificate goes first":  {call(workload(t, ours, reviews), "Bearer secret-token"), reviews},
		"token":                   {call(nil, "Bearer secret-token"), details},
		"scheme in lower case":    {call(nil, "bearer secret-token"), details},
		"token saves":             {call(workload(t, theirs, reviews), "Bearer secret-token"), details},
		"anonymous":               {call(nil), auth.Identity{}},
		"no peer":                 {context.Background(), auth.Identity{}},
		"strange certificate":     {call(workload(t, theirs, reviews)), auth.Identity{}},
		"strange token":           {call(nil, "Bearer wrong-token"), auth.Identity{}},
		"basic":                   {call(nil, "Basic secret-token"), auth.Identity{}},
		"two headers":             {call(nil, "Bearer secret-token", "Bearer secret-token"), auth.Identity{}},
		"token without a scheme":  {call(nil, "secret-token"), auth.Identity{}},
		"foreign trust domain's":  {call(workload(t, newCA("other"), auth.Identity{TrustDomain: "other", Namespace: "a", ServiceAccount: "b"})), auth.Identity{}},
		"empty token":             {call(nil, "Bearer "), auth.Identity{}},
		"no header at all, no md": {peer.NewContext(context.Background(), &peer.Peer{}), auth.Identity{}},
	} {
		got, err := a.Authenticate(c.ctx)
		if got.Identity != c.want {
			t.Errorf("%s: %v, %v", name, got, err)
		}
		if (err == nil) != (c.want != auth.Identity{}) {
			t.Errorf("%s: err = %v", name, err)
		}
		if err != nil && (status.Code(err) != codes.Unauthenticated || strings.Contains(err.Error(), "-token")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	expired := call(workload(t, ours, reviews))
	now = now.Add(2 * time.Hour)
	if _, err := a.Authenticate(expired); err == nil {
		t.Error("an expired certificate is accepted")
	}
}

// A server's own certificate must not pass for a workload's.
func TestServerCertificateProvesNothing(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	cert, err := authority.ServerCertificate([]string{"istiod"})(nil)
	if err != nil {
		t.Fatal(err)
	}
	a := auth.New(auth.Config{TrustDomain: "cluster.local", Roots: authority.Roots})
	if id, err := a.Authenticate(call([]*x509.Certificate{cert.Leaf})); err == nil {
		t.Errorf("proves %v", id)
	}
}

// away is an issuer that cannot be asked.
type away struct{ err error }

func (a away) Verify(context.Context, string) (auth.Caller, error) { return auth.Caller{}, a.err }

// A token whose own issuer cannot be asked is nobody else's: its bearer comes again, or renews by his certificate.
func TestNobodyDecidesForAnIssuerThatCannotBeAsked(t *testing.T) {
	authority, err := ca.New(ca.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		err  error
		want codes.Code
	}{
		"it refuses":          {errors.New("unknown token"), codes.OK},
		"it cannot be asked":  {fmt.Errorf("review: %w", auth.ErrUnanswered), codes.Unavailable},
		"who calls goes away": {context.Canceled, codes.OK},
	} {
		a := auth.New(auth.Config{
			TrustDomain: "cluster.local", Roots: authority.Roots, Tokens: []auth.TokenVerifier{away{c.err}, tokens{"reviews": reviews}},
		})
		ctx := call(nil, "Bearer foreign reviews")
		if got, err := a.Authenticate(ctx); status.Code(err) != c.want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got, err := a.Prove(ctx); status.Code(err) != c.want {
			t.Errorf("%s: for a certificate: %+v, %v", name, got, err)
		}
		if got, err := a.Prove(call(workload(t, authority, reviews), "Bearer foreign reviews")); err != nil || got.Foreign != (c.want == codes.OK) {
			t.Errorf("%s: beside a certificate: %+v, %v", name, got, err)
		}
	}
}
