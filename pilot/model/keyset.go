package model

import (
	"encoding/json"
	"errors"
	"strings"
	"time"

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

// KindSPIFFEBundle is the bundle of a trust domain that the control plane has fetched for caCertificates of
// MeshConfig (SPIFFE Trust Domain and Bundle, 4). Its name is that of its KeySetSource, in no namespace.
const KindSPIFFEBundle Kind = "SPIFFEBundle"

// MaxSPIFFEBundle bounds the roots of a bundle in bytes of PEM, so that all of them together, which agents bound, are
// known from the mesh's configuration alone.
const MaxSPIFFEBundle = 64 << 10

// SPIFFEBundle is the content of a KindSPIFFEBundle object.
type SPIFFEBundle struct {
	// Roots has one PEM an element. A domain that has revoked all of its roots has none.
	Roots []string
}

// KeySetSource is where a set is fetched; one field is set. The keys of a rule come from a URL, or, where it names
// none, from where the discovery document of its issuer says. Bundle is the URL of a SPIFFE bundle.
type KeySetSource struct{ URL, Issuer, Bundle string }

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

// How long a fetch of a set may take: as Istio waits where a rule has no timeout, and at most, since those that wait
// long keep others waiting.
const (
	KeySetTimeout    = 5 * time.Second
	MaxKeySetTimeout = time.Minute
)

// KeySetFetch is a set that is to be fetched.
type KeySetFetch struct {
	KeySetSource
	Timeout time.Duration // of one fetch, from above zero to MaxKeySetTimeout
}

// KeySetTimeoutOf gives how long the rules of a RequestAuthentication let a fetch of their set take: the longest time
// that one of them says, or zero where none says one.
func KeySetTimeoutOf(p *security.RequestAuthentication, of KeySetSource) time.Duration {
	longest := time.Duration(0)
	for _, rule := range p.GetJwtRules() {
		if source, ok := KeySetSourceOf(rule); ok && source == of && rule.GetTimeout() != nil {
			longest = max(longest, min(rule.GetTimeout().AsDuration(), MaxKeySetTimeout))
		}
	}
	return longest
}

// Name is that of the object with the keys.
func (s KeySetSource) Name() string {
	switch {
	case s.Bundle != "":
		return "bundle " + s.Bundle
	case s.URL != "":
		return "url " + s.URL
	}
	return "issuer " + s.Issuer
}

// ParseKeySetSource reads a Name.
func ParseKeySetSource(name string) KeySetSource {
	what, value, _ := strings.Cut(name, " ")
	switch what {
	case "bundle":
		return KeySetSource{Bundle: value}
	case "url":
		return KeySetSource{URL: value}
	}
	return KeySetSource{Issuer: value}
}

// Key is that of the object with the keys.
func (s KeySetSource) Key() Key {
	if s.Bundle != "" {
		return Key{Kind: KindSPIFFEBundle, Name: s.Name()}
	}
	return Key{Kind: KindKeySet, Name: s.Name()}
}

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
