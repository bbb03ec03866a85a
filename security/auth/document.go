package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-jose/go-jose/v4"
)

// discover asks an issuer where its keys are (OpenID Connect Discovery 1.0). name is the issuer as tokens
// spell it.
func discover(ctx context.Context, client *http.Client, issuer *url.URL, name string) (*url.URL, error) {
	data, err := getDocument(ctx, client, strings.TrimSuffix(issuer.String(), "/")+"/.well-known/openid-configuration")
	if err != nil {
		return nil, err
	}
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("discovery document of %s: %w", name, err)
	}
	if doc.Issuer != name {
		return nil, fmt.Errorf("discovery document of %s is for issuer %q", name, doc.Issuer)
	}
	u, err := url.Parse(doc.JWKSURI)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("discovery document of %s: jwks_uri %q is no URL", name, doc.JWKSURI)
	}
	return u, nil
}

// fetchKeys gives the public signature keys of a set.
func fetchKeys(ctx context.Context, client *http.Client, u *url.URL) ([]jose.JSONWebKey, error) {
	data, err := getDocument(ctx, client, u.String())
	if err != nil {
		return nil, err
	}
	set, err := parseKeys(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", u, err)
	}
	return set, nil
}

// getDocument gets a document of at most maxDocument bytes.
func getDocument(ctx context.Context, client *http.Client, u string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", u, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxDocument+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("%s: larger than %d bytes", u, maxDocument)
	}
	return data, nil
}

// KeySets fetches key sets for others than this package's own tokens. The client decides which addresses
// may be asked and must not follow redirects.
type KeySets struct{ Client *http.Client }

// At gives the set at an http or https URL as JSON, with its public signature keys only.
func (k KeySets) At(ctx context.Context, address string) (string, error) {
	u, err := httpURL(address)
	if err != nil {
		return "", err
	}
	return k.set(ctx, u)
}

// Of gives the set of an issuer, which its discovery document names. One of https never leads to http.
func (k KeySets) Of(ctx context.Context, issuer string) (string, error) {
	base, err := httpURL(issuer)
	if err != nil {
		return "", fmt.Errorf("issuer: %w; give the rule jwksUri or jwks", err)
	}
	at, err := discover(ctx, k.Client, base, issuer)
	if err != nil {
		return "", err
	}
	if at.Scheme != "https" && (at.Scheme != "http" || base.Scheme == "https") {
		return "", fmt.Errorf("discovery document of %s: jwks_uri %q is not an https URL", issuer, at)
	}
	return k.set(ctx, at)
}

func (k KeySets) set(ctx context.Context, u *url.URL) (string, error) {
	keys, err := fetchKeys(ctx, k.Client, u)
	if err != nil {
		return "", err
	}
	out, err := json.Marshal(jose.JSONWebKeySet{Keys: keys})
	return string(out), err
}

func httpURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("%q is neither an http nor an https URL", address)
	}
	return u, nil
}
