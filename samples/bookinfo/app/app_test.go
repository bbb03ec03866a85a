package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// start runs the four services of the sample, with reviews in the given version.
func start(t *testing.T, reviewsVersion string, seen func(service string, h http.Header)) *httptest.Server {
	t.Helper()
	urls := map[string]string{}
	var front *httptest.Server
	for _, role := range [][2]string{{"ratings", "v1"}, {"details", "v1"}, {"reviews", reviewsVersion}, {"productpage", "v1"}} {
		svc := &service{name: role[0], version: role[1], pod: role[0] + "-pod", upstream: urls, client: http.DefaultClient}
		mux := svc.mux()
		front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			seen(svc.name, r.Header)
			mux.ServeHTTP(w, r)
		}))
		t.Cleanup(front.Close)
		urls[role[0]] = front.URL
	}
	return front
}

func get(t *testing.T, url string, header http.Header) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestPageShowsWhoAnswered(t *testing.T) {
	for version, stars := range map[string]string{"v1": "", "v2": `class="black">★★★★★`, "v3": `class="red">★★★★★`} {
		front := start(t, version, func(string, http.Header) {})
		body := get(t, front.URL+"/productpage", http.Header{})
		for _, want := range []string{"details v1 on details-pod", "reviews " + version + " on reviews-pod", stars} {
			if !strings.Contains(body, want) {
				t.Errorf("reviews %s: page lacks %q", version, want)
			}
		}
		if version == "v1" && strings.Contains(body, "★") {
			t.Error("reviews v1 shows stars")
		}
	}
}

func TestUserAndTraceHeadersReachTheLastService(t *testing.T) {
	got := make(chan http.Header, 1)
	front := start(t, "v2", func(service string, h http.Header) {
		if service == "ratings" {
			got <- h
		}
	})
	get(t, front.URL+"/productpage", http.Header{"Cookie": {userCookie + "=jason"}, "X-Request-Id": {"r1"}, "Traceparent": {"t1"}})
	h := <-got
	if h.Get("End-User") != "jason" || h.Get("X-Request-Id") != "r1" || h.Get("Traceparent") != "t1" {
		t.Errorf("ratings got %v", h)
	}
}

func TestCallerIsTheLastElementOfXFCC(t *testing.T) {
	h := http.Header{"X-Forwarded-Client-Cert": {
		"By=spiffe://td/ns/a/sa/a;Hash=1;URI=spiffe://td/ns/gw/sa/gw,By=spiffe://td/ns/b/sa/b;Hash=2;Subject=\"\";URI=spiffe://td/ns/a/sa/a",
	}}
	if got := callerIdentity(h); got != "spiffe://td/ns/a/sa/a" {
		t.Errorf("caller %q", got)
	}
	if got := callerIdentity(http.Header{}); got != "" {
		t.Errorf("caller without the header %q", got)
	}
}

func TestClientTellsWhatItTakes(t *testing.T) {
	var said strings.Builder
	if err := client(t.Context(), []string{"get", "--help"}, &said); err != nil || said.String() != usage+"\n" {
		t.Errorf("get --help says %q, with error %v", said.String(), err)
	}
	err := client(t.Context(), []string{"get", "http://127.0.0.1:1/", "-H"}, &said)
	if err == nil || !strings.Contains(err.Error(), `"-H" is no header: write HEADER:VALUE`) {
		t.Errorf("of a header without a colon it says %v", err)
	}
}
