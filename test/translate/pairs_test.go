package translate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestPoliciesDecideBetweenEnvoys makes the calls of each case of policies/ and pairs/ through an Envoy at either end:
// the sidecar of a caller, or a gateway, and the sidecar of the workload, with mutual TLS between them. Who calls is what
// the caller's certificate proves, and nothing that the client says. The evaluator has to agree.
//
// Those of a client in the clear go to the workload's sidecar at once. Others that no sidecar makes, by the name that they
// ask for in TLS or for the reason that they give, are left to TestPoliciesDecide. Calls of pairs/ may go by a gateway,
// which is asked from Address and with Headers; Trusted is how many proxies before it it trusts.
func TestPoliciesDecideBetweenEnvoys(t *testing.T) {
	keys := newTokenKeys(t)
	m := startPairMesh(t, keys.set)
	between, explained, clear := 0, 0, 0
	for _, p := range m.places {
		t.Run(p.name, func(t *testing.T) {
			for i, c := range p.Calls {
				if !c.byEnvoys() {
					continue
				}
				if _, ok := p.caller(&c); ok {
					between++
				} else {
					clear++
				}
				if c.Token != nil || c.Forged {
					c.carry(keys.sign(t, c.Token, c.Forged))
				}
				got := m.call(t, p, &c)
				if got.code != c.Code || c.Policy != "" && !c.TCP && !strings.Contains(got.details, denier(c.Policy)) {
					t.Errorf("call %d %+v: the Envoys say %d %s", i, c, got.code, got.details)
				}
				c.checkCustom(t, i, got)
				c.checkExplained(t, i, p.explain(&c))
				if c.decidedByEnvoy() || c.Code == http.StatusServiceUnavailable && c.Asks == "" {
					continue // of a handshake the evaluator knows nothing
				}
				explained++
				c.compare(t, i, m.decide(t, p, &c))
			}
		})
	}
	// What is proved is said by docs/security.md.
	if between < 600 {
		t.Errorf("only %d calls between two Envoys", between)
	}
	t.Logf("%d calls between Envoys with mutual TLS, %d in the clear; the evaluator decides %d of all", between, clear, explained)
}

// denier is what an answer says of who denied it.
func denier(policy string) string {
	if policy == "none" {
		return "no ALLOW policy matched"
	}
	return policy
}

// call makes a call.
func (m *pairMesh) call(t *testing.T, p *pairPlace, c *policyCall) *policyAnswer {
	t.Helper()
	by, between := p.caller(c)
	at, dialer := p.address, &net.Dialer{Timeout: 10 * time.Second}
	if between {
		at = m.callers[by]
	}
	if c.Address != "" && (!between || by.gateway()) {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(c.Address)}
	}
	if c.TCP {
		return callTCP(t, dialer, fmt.Sprintf("%s:%d", at, pairTCP))
	}
	req, err := http.NewRequestWithContext(t.Context(), c.method(), fmt.Sprintf("http://%s:%d", at, pairHTTP), strings.NewReader(c.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host = c.host()
	c.ask(req.URL)
	for k, v := range c.Headers {
		req.Header.Set(k, v)
	}
	res, err := (&http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true}).RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	var seen answer
	_ = json.Unmarshal(text, &seen) // what is denied has no such body
	details := res.Header.Get("x-denied-by")
	if details == "" && res.StatusCode != http.StatusOK {
		details = string(text)
	}
	return &policyAnswer{res.StatusCode, details, res.Header, seen.Header}
}

// callTCP tells whether a connection is served: 200, else 403.
func callTCP(t *testing.T, dialer *net.Dialer, at string) *policyAnswer {
	t.Helper()
	conn, err := dialer.DialContext(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = io.WriteString(conn, "what is no TLS record")
	if text, _ := io.ReadAll(conn); string(text) == "served" {
		return &policyAnswer{code: http.StatusOK}
	}
	return &policyAnswer{code: http.StatusForbidden}
}

// decide asks the evaluator about a call: at the gateway, if it goes by one, then at the workload.
func (m *pairMesh) decide(t *testing.T, p *pairPlace, c *policyCall) authz.Decision {
	t.Helper()
	by, between := p.caller(c)
	call := authz.Call{Local: netip.MustParseAddr(p.address), Port: pairTCP, Peer: netip.MustParseAddr("127.0.0.1")}
	outside := call.Peer
	if c.Address != "" {
		outside = netip.MustParseAddr(c.Address)
	}
	call.Client = outside // whom a gateway names to the sidecar, and who calls without any
	if !by.gateway() {
		call.Peer = outside
	}
	if between {
		servicePort := map[bool]uint32{false: 80, true: 9000}[c.TCP]
		call.Identity, call.ServerName = "spiffe://"+by.identity, model.DNSSNIName(servicePort, "", webHost)
	}
	if !c.TCP {
		call.Port = pairHTTP
		call.Request = &authz.Request{Method: c.method(), Host: authz.NormalizeHost(c.host()), Headers: map[string]string{}}
		for k, v := range c.Headers {
			call.Request.Headers[strings.ToLower(k)] = v
		}
	}
	asked := ""
	if by.gateway() {
		atGateway := call
		atGateway.Identity, atGateway.ServerName, atGateway.Peer, atGateway.Client = "", "", outside, outside
		if c.Client != "" {
			atGateway.Client = netip.MustParseAddr(c.Client)
		}
		atGateway.Request.Path = authz.Normalize(c.path(), authz.Path(p.guard))
		atGateway.Request.Claims = authz.TokensOf(p.guard).Noted(c.Token)
		d := authz.Decide(authz.Filters(p.guard), atGateway)
		if asked = d.Asks; !d.Allowed || asked != "" && c.Refused {
			return d
		}
	}
	chain, err := authz.Chain(p.inbound, &call)
	var mismatch *authz.Mismatch
	if errors.As(err, &mismatch) && mismatch.Kind == authz.TakesOtherTrustDomains {
		return authz.Decision{}
	}
	if err != nil {
		t.Fatal(err)
	}
	if call.Request != nil {
		call.Request.Path, call.Request.Claims = authz.Normalize(c.path(), authz.Path(chain)), nil
		if !c.Unread {
			call.Request.Claims = authz.TokensOf(chain).Noted(c.Token)
		}
	}
	d := authz.Decide(authz.Filters(chain), call)
	d.Asks = cmp.Or(asked, d.Asks)
	return d
}
