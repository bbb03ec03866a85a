package translate

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	mathrand "math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// issuer signs tokens by two algorithms; the last two keys are of others, who use the names of the first two.
type issuer struct {
	name, audience string
	set            string
	keys           [4]jose.SigningKey
}

func newIssuer(t *testing.T, name, audience string) *issuer {
	t.Helper()
	out := &issuer{name: name, audience: audience}
	var set jose.JSONWebKeySet
	for i := range out.keys {
		algorithm, kid, key := jose.ES256, "ec", any(newKey(t))
		if i%2 == 1 {
			made, err := rsa.GenerateKey(rand.Reader, 2048)
			if err != nil {
				t.Fatal(err)
			}
			algorithm, kid, key = jose.RS256, "rsa", made
		}
		k := jose.JSONWebKey{Key: key, KeyID: kid, Algorithm: string(algorithm), Use: "sig"}
		out.keys[i] = jose.SigningKey{Algorithm: algorithm, Key: k}
		if i < 2 {
			set.Keys = append(set.Keys, k.Public())
		}
	}
	text, err := json.Marshal(set)
	if err != nil {
		t.Fatal(err)
	}
	out.set = string(text)
	return out
}

// randomToken is a token of somebody, as the model sees it.
type randomToken struct {
	text, fault  string
	issuer       *issuer
	good         bool // whoever reads tokens of the issuer believes it
	subject      string
	role         string
	badAudiences bool
}

// tokenMaker makes tokens. A token with a fault says that its bearer is an administrator.
type tokenMaker struct {
	*mathrand.Rand
	t       *testing.T
	issuers [2]*issuer
	made    int
}

// tokenFaults are what is wrong with a token; "" and those of goodTokens are nothing.
func tokenFaults() []string {
	return []string{
		"", "", "", "no kid", "long", "soon", "issuer", "audience", "no audience", "expired", "not yet", "none", "unsigned", "key", "kid",
		"symmetric", "curve", "changed", "cut", "claims", "expiry", "issuers", "base64", "parts", "word",
	}
}

func goodTokens() map[string]bool {
	return map[string]bool{"": true, "no kid": true, "long": true, "soon": true}
}

func (m *tokenMaker) token() randomToken {
	m.t.Helper()
	faults := tokenFaults()
	m.made++
	out := randomToken{fault: faults[m.IntN(len(faults))], issuer: m.issuers[m.IntN(2)], subject: fmt.Sprint("s", m.made), role: "admin"}
	out.good = goodTokens()[out.fault]
	if out.good && m.IntN(2) == 0 {
		out.role = "user"
	}
	out.badAudiences = strings.HasSuffix(out.fault, "audience")
	claims := map[string]any{"iss": out.issuer.name, "sub": out.subject, "role": out.role, "aud": []string{"other", out.issuer.audience}, "exp": time.Now().Add(time.Hour).Unix()}
	m.spoil(claims, out.fault)
	payload, err := json.Marshal(claims)
	if err != nil {
		m.t.Fatal(err)
	}
	out.text = m.damage(m.sign(out.issuer, payload, out.fault), out.fault)
	return out
}

// spoil puts a fault into the claims.
func (m *tokenMaker) spoil(claims map[string]any, fault string) {
	now := time.Now()
	switch fault {
	case "long":
		claims["pad"] = strings.Repeat("x", 6_000)
	case "soon":
		claims["nbf"], claims["exp"] = now.Add(-time.Hour).Unix(), now.Add(5*time.Minute).Unix()
	case "issuer":
		claims["iss"] = "nobody"
	case "audience":
		claims["aud"] = "other"
	case "no audience":
		delete(claims, "aud")
	case "expired":
		claims["exp"] = now.Add(-time.Hour).Unix()
	case "not yet":
		claims["nbf"] = now.Add(time.Hour).Unix()
	case "expiry":
		claims["exp"] = "tomorrow"
	case "issuers":
		claims["iss"] = []any{claims["iss"]}
	}
}

// sign signs claims, as the fault has it.
func (m *tokenMaker) sign(by *issuer, payload []byte, fault string) string {
	m.t.Helper()
	which := m.IntN(2)
	key := by.keys[which]
	switch fault {
	case "none", "unsigned":
		algorithm := map[string]string{"none": "none", "unsigned": string(key.Algorithm)}[fault]
		header := fmt.Sprintf(`{"alg":%q,"kid":%q}`, algorithm, key.Key.(jose.JSONWebKey).KeyID)
		return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString(payload) + "."
	case "key":
		key = by.keys[which+2]
	case "kid", "no kid":
		k := key.Key.(jose.JSONWebKey)
		k.KeyID = map[string]string{"kid": "other", "no kid": ""}[fault]
		key.Key = k
	case "symmetric": // the public keys, which everybody has, as the secret
		key = jose.SigningKey{Algorithm: jose.HS256, Key: jose.JSONWebKey{Key: []byte(by.set), KeyID: key.Key.(jose.JSONWebKey).KeyID}}
	case "curve":
		other, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
		if err != nil {
			m.t.Fatal(err)
		}
		key = jose.SigningKey{Algorithm: jose.ES384, Key: jose.JSONWebKey{Key: other, KeyID: "ec"}}
	case "claims":
		payload = []byte("no claims")
	}
	signer, err := jose.NewSigner(key, nil)
	if err != nil {
		m.t.Fatal(err)
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		m.t.Fatal(err)
	}
	out, err := signed.CompactSerialize()
	if err != nil {
		m.t.Fatal(err)
	}
	return out
}

// damage puts a fault into the text of a token that was signed.
func (m *tokenMaker) damage(text, fault string) string {
	m.t.Helper()
	parts := strings.Split(text, ".")
	switch fault {
	case "changed":
		data, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err != nil {
			m.t.Fatal(err)
		}
		parts[1] = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(data), `"sub":"s`, `"sub":"t`, 1)))
	case "cut":
		parts[2] = parts[2][:len(parts[2])/2]
	case "base64":
		parts[m.IntN(3)] = "a~"
	case "parts":
		parts = append(parts, parts[2])[:2+2*m.IntN(2)]
	case "word":
		parts = []string{"token"}
	}
	return strings.Join(parts, ".")
}
