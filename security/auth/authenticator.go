package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// TokenVerifier proves an identity from a bearer token.
type TokenVerifier interface {
	Verify(ctx context.Context, token string) (Identity, error)
}

// Config says what an Authenticator trusts.
type Config struct {
	// TrustDomain is the only trust domain whose certificates are accepted.
	TrustDomain string
	// Roots gives the CA's current roots. Client certificates are refused when it is nil.
	Roots func() *x509.CertPool
	// Tokens verifies bearer tokens, tried in order; the first that accepts wins. May be empty.
	Tokens []TokenVerifier
	// Clock is time.Now when nil.
	Clock func() time.Time
}

// Authenticator proves the identity of a gRPC caller. It has no state of its own.
type Authenticator struct{ cfg Config }

// New gives an Authenticator.
func New(cfg Config) *Authenticator {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	return &Authenticator{cfg: cfg}
}

// errNone says that the caller offered no proof of one kind, which is not a failed proof.
var errNone = errors.New("none offered")

// Authenticate proves the caller's identity from its client certificate, else from its bearer token.
// The error is a gRPC status Unauthenticated which never holds the token.
func (a *Authenticator) Authenticate(ctx context.Context) (Identity, error) {
	id, certErr := a.fromCertificate(ctx)
	if certErr == nil {
		return id, nil
	}
	id, tokenErr := a.fromToken(ctx)
	if tokenErr == nil {
		return id, nil
	}
	return Identity{}, status.Error(codes.Unauthenticated,
		fmt.Sprintf("no proof of identity: client certificate: %v; bearer token: %v", certErr, tokenErr))
}

// fromCertificate verifies the peer's chain itself, so that it is safe behind a listener that only
// requests certificates.
func (a *Authenticator) fromCertificate(ctx context.Context) (Identity, error) {
	p, ok := peer.FromContext(ctx)
	if !ok || a.cfg.Roots == nil {
		return Identity{}, errNone
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return Identity{}, errNone
	}
	certs := info.State.PeerCertificates
	intermediates := x509.NewCertPool()
	for _, c := range certs[1:] {
		intermediates.AddCert(c)
	}
	_, err := certs[0].Verify(x509.VerifyOptions{
		Roots:         a.cfg.Roots(),
		Intermediates: intermediates,
		CurrentTime:   a.cfg.Clock(),
		KeyUsages:     []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	})
	if err != nil {
		return Identity{}, fmt.Errorf("does not verify: %w", err)
	}
	id, err := FromCertificate(certs[0])
	if err != nil {
		return Identity{}, err
	}
	if id.TrustDomain != a.cfg.TrustDomain {
		return Identity{}, fmt.Errorf("trust domain %q is not this mesh's %q", id.TrustDomain, a.cfg.TrustDomain)
	}
	return id, nil
}

func (a *Authenticator) fromToken(ctx context.Context) (Identity, error) {
	token, err := bearer(ctx)
	if err != nil {
		return Identity{}, err
	}
	if len(a.cfg.Tokens) == 0 {
		return Identity{}, errors.New("this server verifies no tokens")
	}
	var errs []error
	for _, v := range a.cfg.Tokens {
		id, err := v.Verify(ctx, token)
		if err == nil {
			return id, nil
		}
		errs = append(errs, err)
	}
	return Identity{}, errors.Join(errs...)
}

// bearer takes the one bearer token of the request's metadata.
func bearer(ctx context.Context) (string, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	values := md.Get("authorization")
	if len(values) == 0 {
		return "", errNone
	}
	if len(values) > 1 {
		return "", errors.New("more than one authorization header")
	}
	scheme, token, ok := strings.Cut(values[0], " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") || token == "" {
		return "", errors.New("authorization header is not a bearer token")
	}
	return token, nil
}
