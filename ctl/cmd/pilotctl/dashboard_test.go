package main

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// onePage is a mesh of which only the page is reached.
type onePage struct {
	reached
	address string
}

func (m onePage) page(context.Context) (http.RoundTripper, string, func(), error) {
	return http.DefaultTransport, m.address, func() {}, nil
}

// TestOnlyThePageIsPassedOn asks for more of the control plane than its page, and without the secret.
func TestOnlyThePageIsPassedOn(t *testing.T) {
	control := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, r.Method+" "+r.URL.RequestURI()+" "+r.Host+" "+r.Header.Get("Sec-Fetch-Site"))
	}))
	t.Cleanup(control.Close)
	ctx, cancel := context.WithCancel(t.Context())
	d, err := openDashboard(ctx, onePage{address: strings.TrimPrefix(control.URL, "http://")}, 0)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- d.serve(ctx) }()
	at, err := url.Parse(d.url)
	if err != nil {
		t.Fatal(err)
	}
	ask := func(method, path string) (int, string) {
		r, err := http.NewRequestWithContext(t.Context(), method, "http://"+at.Host+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Sec-Fetch-Site", "none")
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
	status, body := ask(http.MethodGet, at.Path+"proxy?proxyID=a.b")
	if want := "GET /debug/dashboard/proxy?proxyID=a.b " + at.Host + " none"; status != http.StatusOK || body != want {
		t.Errorf("the page of a proxy: %d %q, want %q", status, body, want)
	}
	for _, path := range []string{"/", "/debug/dashboard/", "/wrong/", at.Path + "../debug/syncz", at.Path + "%2e%2e/pprof/", at.Path + "..%2fsyncz", strings.TrimSuffix(at.Path, "/") + "x/"} {
		if status, body := ask(http.MethodGet, path); status != http.StatusNotFound {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	if status, body := ask(http.MethodPost, at.Path); status != http.StatusMethodNotAllowed {
		t.Errorf("POST: %d %q", status, body)
	}
	cancel()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("after its end: %v", err)
	}
}
