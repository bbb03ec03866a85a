package model

import (
	"encoding/json"
	"errors"

	security "istio.io/api/security/v1beta1"
)

// KindKeySet is a JSON web key set that the control plane has fetched for RequestAuthentications. Its
// name is that of its KeySetSource, in no namespace.
const KindKeySet Kind = "KeySet"

// KeySet is the content of a KindKeySet object.
type KeySet struct {
	// Keys is the set as JSON, with public signature keys only.
	Keys string
}

// KeySetSource is where the keys of a rule are fetched: a URL, or, where it names none, what the discovery
// document of its issuer says.
type KeySetSource struct{ URL, Issuer string }

// KeySetSourceOf gives the source of a rule; none where it has its keys itself.
func KeySetSourceOf(rule *security.JWTRule) (KeySetSource, bool) {
	switch {
	case rule.GetJwks() != "":
		return KeySetSource{}, false
	case rule.GetJwksUri() != "":
		return KeySetSource{URL: rule.GetJwksUri()}, true
	}
	return KeySetSource{Issuer: rule.GetIssuer()}, true
}

// Name is that of the object with the keys.
func (s KeySetSource) Name() string {
	if s.URL != "" {
		return "url " + s.URL
	}
	return "issuer " + s.Issuer
}

// ParseKeySetSource reads a Name.
func ParseKeySetSource(name string) KeySetSource {
	const url, issuer = "url ", "issuer "
	if len(name) > len(url) && name[:len(url)] == url {
		return KeySetSource{URL: name[len(url):]}
	}
	return KeySetSource{Issuer: name[min(len(issuer), len(name)):]}
}

// Key is that of the object with the keys.
func (s KeySetSource) Key() Key { return Key{Kind: KindKeySet, Name: s.Name()} }

// CheckKeySet tells what is wrong with a key set as it is written.
func CheckKeySet(text string) error {
	var set struct {
		Keys []struct {
			Type string `json:"kty"`
		} `json:"keys"`
	}
	if err := json.Unmarshal([]byte(text), &set); err != nil {
		return errors.New("is no JSON web key set (RFC 7517): " + err.Error())
	}
	for _, k := range set.Keys {
		if k.Type != "" {
			return nil
		}
	}
	return errors.New("is no JSON web key set (RFC 7517): it has no key with a type kty")
}
