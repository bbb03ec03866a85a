package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync/atomic"
)

// service is one role of the sample in one version.
type service struct {
	name, version string
	addr, pod     string
	upstream      map[string]string // service name to base URL
	client        *http.Client
	requests      atomic.Int64
	flaky         atomic.Int64 // requests for /flaky
}

// upstreams gives the base URL of each service; domain is appended to the names where it is set.
func upstreams(domain string) map[string]string {
	if domain != "" {
		domain = "." + domain
	}
	urls := map[string]string{}
	for _, name := range []string{"details", "reviews", "ratings"} {
		urls[name] = "http://" + name + domain + ":9080"
	}
	return urls
}

// handlers gives the paths of the service's role, nil for a role that does not exist.
func (s *service) handlers() map[string]http.HandlerFunc {
	switch s.name {
	case "productpage":
		return map[string]http.HandlerFunc{
			"GET /productpage": s.productPage, "GET /{$}": s.productPage, "GET /index.html": s.productPage,
			"POST /login": login, "GET /logout": logout,
			"GET /api/v1/products":              s.products,
			"GET /api/v1/products/{id}":         s.relay("details", "/details/"),
			"GET /api/v1/products/{id}/reviews": s.relay("reviews", "/reviews/"),
			"GET /api/v1/products/{id}/ratings": s.relay("ratings", "/ratings/"),
		}
	case "details":
		return map[string]http.HandlerFunc{"GET /details/{id}": s.details}
	case "reviews":
		return map[string]http.HandlerFunc{"GET /reviews/{id}": s.reviews}
	case "ratings":
		return map[string]http.HandlerFunc{"GET /ratings/{id}": s.ratings}
	}
	return nil
}

func (s *service) mux() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, h := range s.handlers() {
		mux.HandleFunc(pattern, h)
	}
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, map[string]string{"status": s.name + " is healthy"})
	})
	// Every second request fails: something for retries to do.
	mux.HandleFunc("GET /flaky", func(w http.ResponseWriter, _ *http.Request) {
		if s.flaky.Add(1)%2 == 1 {
			http.Error(w, "this one fails", http.StatusServiceUnavailable)
			return
		}
		writeJSON(w, map[string]string{"status": "this one succeeds"})
	})
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "# HELP bookinfo_requests_total Requests served.\n# TYPE bookinfo_requests_total counter\n"+
			"bookinfo_requests_total{service=%q,version=%q} %d\n", s.name, s.version, s.requests.Load())
	})
	return mux
}

func (s *service) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.requests.Add(1)
		next.ServeHTTP(w, r)
	})
}

// answerer tells who answered, and whom the mesh saw calling.
type answerer struct {
	Service string `json:"service"`
	Version string `json:"version"`
	Pod     string `json:"podname"`
	Caller  string `json:"caller,omitempty"` // SPIFFE identity of the caller, proven by the sidecars
}

func (s *service) answerer(r *http.Request) answerer {
	return answerer{Service: s.name, Version: s.version, Pod: s.pod, Caller: callerIdentity(r.Header)}
}

var xfccURI = regexp.MustCompile(`(?:^|;)URI=([^;,]*)`)

// callerIdentity reads the URI of the last element of X-Forwarded-Client-Cert, the one that the
// own sidecar appended.
func callerIdentity(h http.Header) string {
	elements := strings.Split(h.Get("X-Forwarded-Client-Cert"), ",")
	m := xfccURI.FindStringSubmatch(elements[len(elements)-1])
	if m == nil {
		return ""
	}
	return m[1]
}

// forwarded are the headers that a service copies from the request that it serves to those that
// it makes: the user, and the context of a trace (B3, W3C, Envoy's own).
var forwarded = []string{
	"End-User", "User-Agent", "X-Request-Id", "X-B3-Traceid", "X-B3-Spanid", "X-B3-Parentspanid", "X-B3-Sampled",
	"X-B3-Flags", "B3", "Traceparent", "Tracestate", "X-Ot-Span-Context", "X-Cloud-Trace-Context", "Grpc-Trace-Bin",
	"Authorization", "Cookie", "X-Datadog-Trace-Id", "X-Datadog-Parent-Id", "X-Datadog-Sampling-Priority", "Sw8",
}

func (s *service) call(ctx context.Context, in http.Header, to, path string, out any) (int, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.upstream[to]+path, nil)
	if err != nil {
		return http.StatusInternalServerError, err
	}
	for _, name := range forwarded {
		if v := in.Values(name); len(v) > 0 {
			req.Header[name] = v
		}
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return http.StatusBadGateway, fmt.Errorf("calling %s: %w", to, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, fmt.Errorf("%s answered %s", to, resp.Status)
	}
	if err := json.NewDecoder(resp.Body).Decode(out); err != nil {
		return http.StatusBadGateway, fmt.Errorf("reading the answer of %s: %w", to, err)
	}
	return http.StatusOK, nil
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	// An error here means that the caller has gone; there is nobody left to tell.
	_ = json.NewEncoder(w).Encode(v)
}
