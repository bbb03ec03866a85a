package translate

import (
	"fmt"
	mathrand "math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// manyTokensYAML reads tokens of people where they are by default, those of robots at places of their own.
const manyTokensYAML = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {clusterIP: 10.1.0.1, selector: {app: web}, ports: [{name: http, port: 80, targetPort: %d}]}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: shop}
spec: {mtls: {mode: DISABLE}}
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: tokens, namespace: shop}
spec:
  jwtRules:
  - issuer: people
    audiences: [web, app]
    jwks: '%s'
    outputClaimToHeaders: [{header: x-subject, claim: sub}]
  - issuer: robots
    audiences: [api]
    jwks: '%s'
    fromHeaders: [{name: x-robot, prefix: "Token "}]
    fromParams: [robot]
    fromCookies: [robot]
    outputClaimToHeaders: [{header: x-subject, claim: sub}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: who, namespace: shop}
spec:
  rules:
  - to: [{operation: {paths: [/open]}}]
  - to: [{operation: {paths: [/admin]}}]
    when: [{key: "request.auth.claims[role]", values: [admin]}]
  - to: [{operation: {paths: [/robots]}}]
    from: [{source: {requestPrincipals: ["robots/*"]}}]
`

// tokenPlaces are where tokens may be, and whose are read there.
var tokenPlaces = []struct{ name, issuer string }{
	{"authorization", "people"}, {"access_token", "people"}, {"x-robot", "robots"}, {"robot", "robots"}, {"cookie", "robots"},
}

// placedToken is a token at one of tokenPlaces.
type placedToken struct {
	randomToken
	place  int
	second bool // there is one more in the same header
}

// tokenRequest is a request with tokens.
type tokenRequest struct {
	path   string
	tokens []placedToken
	spoofs bool // the client says itself what a claim would
}

func (m *tokenMaker) request() tokenRequest {
	out := tokenRequest{path: []string{"/open", "/admin", "/robots"}[m.IntN(3)], spoofs: m.IntN(2) == 0}
	for i := range tokenPlaces {
		for n := 0; m.IntN(3) == 0 && n < 2; n++ {
			if n > 0 && i != 0 {
				break // but for Authorization, which may be there twice
			}
			out.tokens = append(out.tokens, placedToken{m.token(), i, n > 0})
		}
	}
	return out
}

// believed are the tokens of which a claim may count: those of the first issuer all of whose places hold nothing but
// good tokens of its own, and hold one. Two in one header are none.
func (r *tokenRequest) believed() []placedToken {
	for _, issuer := range []string{"people", "robots"} {
		var good, bad []placedToken
		for _, p := range r.tokens {
			switch {
			case tokenPlaces[p.place].issuer != issuer:
			case p.good && !p.second && p.issuer.name == issuer:
				good = append(good, p)
			default:
				bad = append(bad, p)
			}
		}
		if len(good) > 0 && len(bad) == 0 {
			return good
		}
	}
	return nil
}

// outcome is the model: what may become of a request. Believed tokens let it pass as somebody, none at all as nobody;
// of several that are believed Istio does not say which counts, and Envoy takes the claims that policies see and those
// in headers of different ones.
func (r *tokenRequest) outcome() (statuses map[int]bool, subjects map[string]bool) {
	statuses, subjects = map[int]bool{}, map[string]bool{}
	believed := r.believed()
	for _, p := range believed {
		subjects[p.subject] = true
		if r.path == "/open" || r.path == "/admin" && p.role == "admin" || r.path == "/robots" && p.issuer.name == "robots" {
			statuses[http.StatusOK] = true
		} else {
			statuses[http.StatusForbidden] = true
		}
	}
	switch {
	case len(believed) > 0:
	case len(r.tokens) > 0:
		statuses[http.StatusUnauthorized] = true
		for _, p := range r.tokens {
			statuses[http.StatusForbidden] = statuses[http.StatusForbidden] || p.badAudiences // as Envoy says it
		}
	case r.path == "/open":
		statuses[http.StatusOK], subjects[""] = true, true
	default:
		statuses[http.StatusForbidden] = true
	}
	return statuses, subjects
}

// send puts the tokens where they are.
func (r *tokenRequest) send(t *testing.T, s *served) (*http.Response, answer) {
	t.Helper()
	header, query := http.Header{}, url.Values{}
	for _, p := range r.tokens {
		switch name := tokenPlaces[p.place].name; name {
		case "authorization":
			header.Add("Authorization", "Bearer "+p.text)
		case "x-robot":
			header.Set("X-Robot", "Token "+p.text)
		case "cookie":
			header.Set("Cookie", "a=b; robot="+p.text)
		default:
			query.Set(name, p.text)
		}
	}
	if r.spoofs {
		header.Set("X-Subject", "spoofed")
	}
	return s.get(t, "web.shop", r.path+"?"+query.Encode(), header)
}

func (r *tokenRequest) String() string {
	out := fmt.Sprintf("%s, spoofs %v", r.path, r.spoofs)
	for _, p := range r.tokens {
		out += fmt.Sprintf("; %s's with fault %q in %s (%s, %s)", p.issuer.name, p.fault, tokenPlaces[p.place].name, p.subject, p.role)
	}
	return out
}

// TestRandomTokens sends requests with random tokens, good ones and with all sorts of faults, at one place or at
// several, through a real Envoy. None passes with a claim of a token that nobody should believe, what is not
// believed is answered 401 and why, and all else is as the model says.
func TestRandomTokens(t *testing.T) {
	people, robots := newIssuer(t, "people", "web"), newIssuer(t, "robots", "api")
	port := envoytest.FreePort(t)
	res := translate(t, fmt.Sprintf(manyTokensYAML, port, people.set, robots.set), Proxy{Name: "web-0", Namespace: "shop", Labels: map[string]string{"app": "web"}})
	s := serve(t, res, place{listener: model.VirtualInboundListener, port: port})
	m := &tokenMaker{Rand: mathrand.New(mathrand.NewPCG(12, 1)), t: t, issuers: [2]*issuer{people, robots}}
	refused := map[string]int{} // by the fault of the only token
	outcomes := map[int]int{}
	for range 1500 {
		r := m.request()
		got, seen := r.send(t, s)
		if got.StatusCode == http.StatusOK {
			<-s.requests
		}
		statuses, subjects := r.outcome()
		outcomes[got.StatusCode]++
		switch {
		case !statuses[got.StatusCode]:
			t.Errorf("%v: status %d %s, want one of %v", &r, got.StatusCode, seen.Path, statuses)
		case got.StatusCode == http.StatusOK && !subjects[seen.Header.Get("X-Subject")]:
			t.Errorf("%v: the workload is told %q, want one of %v", &r, seen.Header.Get("X-Subject"), subjects)
		case got.StatusCode == http.StatusUnauthorized && (!strings.HasPrefix(seen.Path, "Jw") || !strings.Contains(got.Header.Get("WWW-Authenticate"), `error="invalid_token"`)):
			t.Errorf("%v: 401 without a reason: %q, %v", &r, seen.Path, got.Header)
		case got.StatusCode != http.StatusOK && len(r.tokens) == 1:
			refused[r.tokens[0].fault]++
		}
	}
	for _, fault := range tokenFaults() {
		if !goodTokens()[fault] && refused[fault] == 0 {
			t.Errorf("no request was refused for a token with fault %q alone", fault)
		}
	}
	for _, status := range []int{http.StatusOK, http.StatusUnauthorized, http.StatusForbidden} {
		if outcomes[status] < 50 {
			t.Errorf("only %d requests were answered %d", outcomes[status], status)
		}
	}
	t.Logf("requests by status: %v; refused by the fault of the only token: %v", outcomes, refused)
	tooLong := tokenRequest{path: "/open", tokens: []placedToken{{randomToken: randomToken{text: strings.Repeat("x", 80_000)}}}}
	if got, _ := tooLong.send(t, s); got.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a token that is longer than all headers may be: status %d", got.StatusCode)
	}
}
