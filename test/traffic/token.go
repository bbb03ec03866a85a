package traffic

import (
	"crypto/ed25519"
	"encoding/json"

	"github.com/go-jose/go-jose/v4"
)

// tokenKey signs the tokens of calls, forgedKey those that pretend to be signed by it.
func tokenKey() ed25519.PrivateKey { return ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize)) }

func forgedKey() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = 1
	return ed25519.NewKeyFromSeed(seed)
}

// keySet is the key set that KEYS stands for in the objects of a case.
func keySet() (string, error) {
	key := jose.JSONWebKey{Key: tokenKey().Public(), KeyID: "k", Algorithm: "EdDSA", Use: "sig"}
	set, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{key}})
	return string(set), err
}

// unpredictable tells whether servers are ejected, or a call has a token that is forged or, where it says so, was good long ago. Of these explain
// is not asked, which is told the claims of valid ones.
func (c *Call) unpredictable() bool { return c.Ejected || c.Forged || c.Token["exp"] != nil }

// token signs claims.
func token(claims map[string]any, forged bool) (string, error) {
	key := tokenKey()
	if forged {
		key = forgedKey()
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.EdDSA, Key: jose.JSONWebKey{Key: key, KeyID: "k"}}, nil)
	if err != nil {
		return "", err
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		return "", err
	}
	return signed.CompactSerialize()
}
