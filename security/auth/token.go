package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

const (
	// maxToken bounds a token in bytes; a service account's has about 1 KB.
	maxToken = 16 << 10
	// leeway is how far the issuer's clock may be from ours.
	leeway = 10 * time.Second
)

// algorithms that a token may be signed with: public keys only, so that a verifier can never be
// talked into treating a public key as a shared secret.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512,
	jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// TokenConfig says which service-account tokens are accepted.
type TokenConfig struct {
	// JWKSFile holds the issuer's public keys; it is read again when it changes. Without it the
	// keys are found by OIDC discovery of Issuer.
	JWKSFile string
	// JWKSURI is where the keys of Issuer are, in the place of discovery.
	JWKSURI string
	// Issuer that a token must name; with a JWKSFile it may be empty, and any issuer that signs
	// with those keys is accepted.
	Issuer string
	// Audiences, one of which a token must be for; "istio-ca" when empty.
	Audiences []string
	// TrustDomain of the identities.
	TrustDomain string
	// Foreign tells that the tokens are of another cluster than the control plane's.
	Foreign bool
	// HTTP is the client for discovery; one with a timeout of 10 s when nil.
	HTTP *http.Client
	// Clock is time.Now when nil.
	Clock func() time.Time
	// Logger must not be nil.
	Logger *slog.Logger
}

// keySource gives the keys that a key ID may mean; an empty ID means all.
type keySource interface {
	keys(ctx context.Context, keyID string) ([]jose.JSONWebKey, error)
}

// Tokens verifies service-account tokens.
type Tokens struct {
	cfg  TokenConfig
	keys keySource
}

// NewTokens gives a verifier. It fails on a key file that cannot be used and on an issuer that is
// no URL; an issuer is not asked before the first token.
func NewTokens(cfg TokenConfig) (*Tokens, error) {
	if len(cfg.Audiences) == 0 {
		cfg.Audiences = []string{"istio-ca"}
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	t := &Tokens{cfg: cfg}
	switch {
	case cfg.JWKSFile != "":
		f := &keyFile{path: cfg.JWKSFile, log: cfg.Logger}
		if _, err := f.keys(context.Background(), ""); err != nil {
			return nil, err
		}
		t.keys = f
	case cfg.Issuer != "":
		o, err := newOIDC(cfg)
		if err != nil {
			return nil, err
		}
		t.keys = o
	default:
		return nil, errors.New("tokens: neither a JWKS file nor an issuer is given")
	}
	return t, nil
}

// claims of a service-account token. The kubernetes.io claim is there in bound tokens.
type claims struct {
	jwt.Claims
	Kubernetes *struct {
		Namespace      string `json:"namespace"`
		ServiceAccount struct {
			Name string `json:"name"`
		} `json:"serviceaccount"`
		Pod struct {
			Name string `json:"name"`
		} `json:"pod"`
	} `json:"kubernetes.io"`
}

// Verify proves who a token's bearer is. Its errors never hold a part of the token that is
// not yet verified.
func (t *Tokens) Verify(ctx context.Context, token string) (Caller, error) {
	c, err := t.verifySignature(ctx, token)
	if err != nil {
		return Caller{}, err
	}
	if c.Expiry == nil {
		return Caller{}, errors.New("token has no expiry")
	}
	expected := jwt.Expected{Issuer: t.cfg.Issuer, AnyAudience: t.cfg.Audiences, Time: t.cfg.Clock()}
	if err := c.ValidateWithLeeway(expected, leeway); err != nil {
		return Caller{}, fmt.Errorf("token claims: %w", err)
	}
	caller, err := c.caller(t.cfg.TrustDomain)
	caller.Foreign = t.cfg.Foreign && err == nil
	return caller, err
}

func (t *Tokens) verifySignature(ctx context.Context, token string) (*claims, error) {
	if len(token) > maxToken {
		return nil, fmt.Errorf("token is longer than %d bytes", maxToken)
	}
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil {
		return nil, errors.New("token is not a JWT signed with an accepted algorithm")
	}
	header := parsed.Headers[0]
	keys, err := t.keys.keys(ctx, header.KeyID)
	if err != nil {
		return nil, fmt.Errorf("keys of the token issuer: %w", err)
	}
	for i := range keys {
		if keys[i].Algorithm != "" && keys[i].Algorithm != header.Algorithm {
			continue
		}
		var c claims
		if parsed.Claims(keys[i].Key, &c) == nil {
			return &c, nil
		}
	}
	return nil, errors.New("token is signed by no known key")
}

// caller reads the subject, system:serviceaccount:NAMESPACE:NAME, which the kubernetes.io claim
// must repeat where it is there, and the pod that this binds the token to.
func (c *claims) caller(trustDomain string) (Caller, error) {
	pod := ""
	if c.Kubernetes != nil {
		pod = c.Kubernetes.Pod.Name
	}
	rest, ok := strings.CutPrefix(c.Subject, "system:serviceaccount:")
	namespace, name, ok2 := strings.Cut(rest, ":")
	if !ok || !ok2 {
		return Caller{}, errors.New("token subject is not a service account")
	}
	if k := c.Kubernetes; k != nil && (k.Namespace != namespace || k.ServiceAccount.Name != name) {
		return Caller{}, errors.New("token subject and kubernetes.io claim disagree")
	}
	return NewCaller(trustDomain, namespace, name, pod)
}
