package main

import (
	"strings"
	"testing"
)

func TestJWTRule(t *testing.T) {
	for text, want := range map[string]string{
		"": "",
		`{"issuer": "https://issuer.example.com", "audiences": ["istio-ca"]}`:                                 "",
		`{"issuer": "machines", "jwks_uri": "https://keys.example.com/jwks", "audiences": ["istio-ca"]}`:      "",
		`{"issuer": "https://issuer.example.com"}`:                                                            "audiences",
		`{"audiences": ["istio-ca"]}`:                                                                         "issuer",
		`{"issuer": "https://issuer.example.com", "audiences": ["istio-ca"], "fromHeaders": [{"name": "x"}]}`: "only issuer",
		`{"issuer": "https://issuer.example.com", "audiences": ["istio-ca"], "isuer": "x"}`:                   "isuer",
		`issuer`: "",
	} {
		var o options
		err := o.jwtRule(text)
		if text == "issuer" {
			if err == nil {
				t.Error("what is no JSON is taken")
			}
			continue
		}
		if (err != nil) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
		if (o.JWTRule != nil) != (err == nil && text != "") {
			t.Errorf("%s: the rule is %v", text, o.JWTRule)
		}
	}
}
