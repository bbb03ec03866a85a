package auth

import "testing"

const oneKey = `{"keys": [
  {"kty": "OKP", "crv": "Ed448", "kid": "unknown", "x": "AAAA"},
  {"kty": "of tomorrow", "kid": "later"},
  {"kty": "EC", "crv": "P-256", "kid": "known", "use": "sig", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`

func TestKeysThatNobodyKnowsAreLeftOut(t *testing.T) {
	keys, err := parseKeys([]byte(oneKey))
	if err != nil || len(keys) != 1 || keys[0].KeyID != "known" {
		t.Errorf("got %v, %v", keys, err)
	}
}
