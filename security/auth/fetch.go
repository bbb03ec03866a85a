package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
)

// Fetcher gets what issuers of tokens publish. It follows no redirect, which could lead from https to http
// or to a machine of somebody else's choice, and reads a document up to 1 MiB. Callers bound the time by
// their context, and say how often they ask.
//
// The library go-oidc was tried in its place (v3.21, 110 KB more): it asks the issuer again for each token
// that names an unknown key, as often as somebody sends one, reads documents without a bound, and forgets
// nothing that Tokens has to keep. What would be left for it is reading one field of one document.
type Fetcher struct {
	client *http.Client
	// Plaintext allows http to other machines than this one, as Istio does for what a RequestAuthentication
	// names.
	Plaintext bool
}

// NewFetcher gives a Fetcher that uses a client; nil is one of its own.
func NewFetcher(client *http.Client) *Fetcher {
	if client == nil {
		client = &http.Client{}
	}
	own := *client
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Fetcher{client: &own}
}

// KeysURI asks an issuer where its keys are (OpenID Connect Discovery 1.0, section 4).
func (f *Fetcher) KeysURI(ctx context.Context, issuer string) (string, error) {
	u, err := f.address(issuer)
	if err != nil {
		return "", err
	}
	data, err := f.get(ctx, strings.TrimSuffix(u.String(), "/")+"/.well-known/openid-configuration")
	if err != nil {
		return "", err
	}
	var doc struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	if err := json.Unmarshal(data, &doc); err != nil {
		return "", fmt.Errorf("discovery document of %s: %w", issuer, err)
	}
	if doc.Issuer != issuer {
		return "", fmt.Errorf("discovery document of %s is for issuer %q", issuer, doc.Issuer)
	}
	if _, err := f.address(doc.JWKSURI); err != nil {
		return "", fmt.Errorf("discovery document of %s: jwks_uri: %w", issuer, err)
	}
	return doc.JWKSURI, nil
}

// Keys gets a JSON web key set (RFC 7517) that holds a public signature key at least, as its text.
func (f *Fetcher) Keys(ctx context.Context, uri string) ([]byte, error) {
	if _, err := f.address(uri); err != nil {
		return nil, err
	}
	data, err := f.get(ctx, uri)
	if err != nil {
		return nil, err
	}
	if _, err := parseKeys(data); err != nil {
		return nil, fmt.Errorf("%s: %w", uri, err)
	}
	return data, nil
}

// address reads a URL that may be asked: https, or http on this machine.
func (f *Fetcher) address(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("%q is not an https URL", text)
	}
	ip := net.ParseIP(u.Hostname())
	here := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme == "https" || u.Scheme == "http" && (here || f.Plaintext) {
		return u, nil
	}
	return nil, fmt.Errorf("%q is not an https URL", text)
}

func (f *Fetcher) get(ctx context.Context, u string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, err
	}
	resp, err := f.client.Do(req)
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
