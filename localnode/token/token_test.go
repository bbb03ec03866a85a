package token

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

func TestSign(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, err := NewSigner(func() time.Time { return now })
	if err != nil {
		t.Fatal(err)
	}
	sub := Subject{Namespace: "default", ServiceAccount: Object{"reviews", "1"}, Pod: Object{"reviews-v1", "2"}}
	raw, err := s.Sign(sub, []string{"istio-ca"}, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	b, err := s.JWKS()
	if err != nil {
		t.Fatal(err)
	}
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(b, &set); err != nil {
		t.Fatal(err)
	}
	if !set.Keys[0].IsPublic() {
		t.Fatal("the key set holds the private key")
	}
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		t.Fatal(err)
	}
	var c boundClaims
	if err := parsed.Claims(set.Key(parsed.Headers[0].KeyID)[0], &c); err != nil {
		t.Fatal(err)
	}
	if c.Subject != "system:serviceaccount:default:reviews" || c.Issuer != Issuer || c.Kubernetes.Pod.Name != "reviews-v1" || c.Kubernetes.ServiceAccount.UID != "1" {
		t.Errorf("claims are %+v", c)
	}
	if err := c.Validate(jwt.Expected{AnyAudience: []string{"istio-ca"}, Time: now.Add(59 * time.Minute)}); err != nil {
		t.Error(err)
	}
	if err := c.ValidateWithLeeway(jwt.Expected{Time: now.Add(61 * time.Minute)}, 0); err == nil {
		t.Error("the token is valid for ever")
	}
}
