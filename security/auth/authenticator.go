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

// ErrUnanswered says that a token may be of the verifier's own issuer, and that this cannot be asked at present. No other
// verifier decides about it then: it would take the issuer's own callers for somebody else's.
var ErrUnanswered = errors.New("whose token it is cannot be asked at present")

// TokenVerifier proves from a bearer token who calls.
type TokenVerifier interface {
	Verify(ctx context.Context, token string) (Caller, error)
}

// Config says what an Authenticator trusts.
type Config struct {
	// TrustDomain is the only trust domain whose certificates are accepted.
	TrustDomain string
	// Roots gives the CA's current roots. Client certificates are refused when it is nil.
	Roots func() *x509.CertPool
	// Revoked tells of a certificate of a verified chain that its issuer has revoked; nil where none has a list.
	// What it answers changes with the pool that Roots gives only.
	Revoked func(chain []*x509.Certificate) error
	// Tokens verifies bearer tokens, tried in order; the first that accepts, or says ErrUnanswered, wins. May be empty.
	Tokens []TokenVerifier
	// MaxRenewal is how long after its last proof by a token a caller may renew with its certificate alone;
	// DefaultMaxRenewal when zero.
	MaxRenewal time.Duration
	// Cluster names the control plane's own. Callers whose certificates name another are foreign; none where it is "".
	Cluster string
	// Clock is time.Now when nil.
	Clock func() time.Time
}

// DefaultMaxRenewal lets a stolen key be an identity for no longer than a certificate lives and once more.
const DefaultMaxRenewal = 24 * time.Hour

// Authenticator proves the identity of a gRPC caller. It remembers which chains of certificates it has verified,
// and nothing else.
type Authenticator struct {
	cfg      Config
	verified *verified
}

// New gives an Authenticator.
func New(cfg Config) *Authenticator {
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.MaxRenewal == 0 {
		cfg.MaxRenewal = DefaultMaxRenewal
	}
	return &Authenticator{cfg: cfg, verified: newVerified()}
}

// errNone says that the caller offered no proof of one kind, which is not a failed proof.
var errNone = errors.New("none offered")

// Authenticate proves who calls from its client certificate, else from its bearer token. A foreign certificate yields to
// a token of the same identity: that knows better whose it is, as after a change of the cluster's name.
// The error is a gRPC status which never holds the token: Unavailable for ErrUnanswered, so that the caller comes again,
// else Unauthenticated.
func (a *Authenticator) Authenticate(ctx context.Context) (Caller, error) {
	c, _, certErr := a.fromCertificate(ctx)
	if certErr == nil && !c.Foreign {
		return c, nil
	}
	fromToken, tokenErr := a.fromToken(ctx)
	switch {
	case tokenErr == nil && (certErr != nil || fromToken.Identity == c.Identity):
		return fromToken, nil
	case certErr == nil:
		return c, nil
	}
	return Caller{}, unproven(certErr, tokenErr)
}

func unproven(certErr, tokenErr error) error {
	code := codes.Unauthenticated
	if errors.Is(tokenErr, ErrUnanswered) {
		code = codes.Unavailable
	}
	return status.Error(code,
		fmt.Sprintf("no proof of identity: client certificate: %v; bearer token: %v", certErr, tokenErr))
}

// Prove proves the caller's identity for a new certificate. A certificate counts for this for a time after
// the last proof by a token only, since whoever has its key could else have the identity for ever. A token
// of the same identity beside it makes the proof a new one.
func (a *Authenticator) Prove(ctx context.Context) (Proof, error) {
	now := a.cfg.Clock()
	c, leaf, certErr := a.fromCertificate(ctx)
	fromToken, tokenErr := a.fromToken(ctx)
	if certErr == nil {
		at := ProvenAt(leaf)
		switch {
		case tokenErr == nil && fromToken.Identity == c.Identity:
			return Proof{Caller: fromToken, Cluster: a.cfg.Cluster, At: now, By: ByToken}, nil
		case now.Sub(at) <= a.cfg.MaxRenewal:
			return Proof{Caller: c, Cluster: a.cfg.Cluster, At: at, By: ByCertificate, Serial: leaf.SerialNumber.Text(16)}, nil
		}
		certErr = fmt.Errorf("the last proof by a token was at %s, and a certificate alone renews for %v after it", at.UTC().Format(time.RFC3339), a.cfg.MaxRenewal)
	}
	if tokenErr == nil {
		return Proof{Caller: fromToken, Cluster: a.cfg.Cluster, At: now, By: ByToken}, nil
	}
	return Proof{}, unproven(certErr, tokenErr)
}

// fromCertificate verifies the peer's chain itself, so that it is safe behind a listener that only
// requests certificates. It also gives the leaf.
func (a *Authenticator) fromCertificate(ctx context.Context) (Caller, *x509.Certificate, error) {
	p, ok := peer.FromContext(ctx)
	if !ok || a.cfg.Roots == nil {
		return Caller{}, nil, errNone
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.PeerCertificates) == 0 {
		return Caller{}, nil, errNone
	}
	certs := info.State.PeerCertificates
	if err := a.verified.verify(certs, a.cfg.Roots(), a.cfg.Revoked, a.cfg.Clock()); err != nil {
		return Caller{}, nil, fmt.Errorf("does not verify: %w", err)
	}
	id, err := FromCertificate(certs[0])
	if err != nil {
		return Caller{}, nil, err
	}
	if id.TrustDomain != a.cfg.TrustDomain {
		return Caller{}, nil, fmt.Errorf("trust domain %q is not this mesh's %q", id.TrustDomain, a.cfg.TrustDomain)
	}
	pod, foreign := BoundPod(certs[0])
	if in := ProvenIn(certs[0]); in != "" && a.cfg.Cluster != "" && in != a.cfg.Cluster {
		foreign = true // of another control plane, whose certificates are below the same root
	}
	return Caller{Identity: id, Pod: pod, Foreign: foreign}, certs[0], nil
}

func (a *Authenticator) fromToken(ctx context.Context) (Caller, error) {
	token, err := bearer(ctx)
	if err != nil {
		return Caller{}, err
	}
	if len(a.cfg.Tokens) == 0 {
		return Caller{}, errors.New("this server verifies no tokens")
	}
	var errs []error
	for _, v := range a.cfg.Tokens {
		c, err := v.Verify(ctx, token)
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
		if errors.Is(err, ErrUnanswered) {
			break
		}
	}
	return Caller{}, errors.Join(errs...)
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
