// Package token signs the service-account tokens of a mesh's pods, as an API server would: JWTs
// bound to a pod, which the control plane checks with the keys of a JWKS file.
package token

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// Issuer is what Kubernetes' own tokens name.
const Issuer = "https://kubernetes.default.svc.cluster.local"

// DefaultAudience is a token's audience where a pod asks for none.
const DefaultAudience = Issuer

// DefaultTTL and MinTTL are the lifetimes that Kubernetes gives to and demands of projected tokens.
const (
	DefaultTTL = time.Hour
	MinTTL     = 10 * time.Minute
)

// Signer holds one key, which never leaves memory.
type Signer struct {
	signer jose.Signer
	public jose.JSONWebKey
	now    func() time.Time
}

// NewSigner makes a key for one run of a mesh.
func NewSigner(now func() time.Time) (*Signer, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the key for service-account tokens: %w", err)
	}
	public := jose.JSONWebKey{Key: &key.PublicKey, Algorithm: string(jose.ES256), Use: "sig"}
	thumb, err := public.Thumbprint(crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("name the key for service-account tokens: %w", err)
	}
	public.KeyID = base64.RawURLEncoding.EncodeToString(thumb)
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: public.KeyID}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		return nil, fmt.Errorf("use the key for service-account tokens: %w", err)
	}
	return &Signer{signer: signer, public: public, now: now}, nil
}

// JWKS gives the public key as a JSON Web Key Set.
func (s *Signer) JWKS() ([]byte, error) {
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{s.public}})
}

// Object is a name with the identity of the object that bears it.
type Object struct {
	Name string `json:"name"`
	UID  string `json:"uid"`
}

// Subject is whom a token speaks for.
type Subject struct {
	Namespace      string
	ServiceAccount Object
	Pod            Object
}

type boundClaims struct {
	jwt.Claims
	Kubernetes struct {
		Namespace      string `json:"namespace"`
		Pod            Object `json:"pod"`
		ServiceAccount Object `json:"serviceaccount"`
	} `json:"kubernetes.io"`
}

// Sign gives a token for the audiences that is valid for ttl from now.
func (s *Signer) Sign(sub Subject, audiences []string, ttl time.Duration) (string, error) {
	now := s.now()
	c := boundClaims{Claims: jwt.Claims{
		Issuer:    Issuer,
		Subject:   "system:serviceaccount:" + sub.Namespace + ":" + sub.ServiceAccount.Name,
		Audience:  audiences,
		IssuedAt:  jwt.NewNumericDate(now),
		NotBefore: jwt.NewNumericDate(now),
		Expiry:    jwt.NewNumericDate(now.Add(ttl)),
		ID:        rand.Text(),
	}}
	c.Kubernetes.Namespace = sub.Namespace
	c.Kubernetes.Pod = sub.Pod
	c.Kubernetes.ServiceAccount = sub.ServiceAccount
	raw, err := jwt.Signed(s.signer).Claims(c).Serialize()
	if err != nil {
		return "", fmt.Errorf("sign a token for %s: %w", c.Subject, err)
	}
	return raw, nil
}
