package translate

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// TestPoliciesDecideBetweenEnvoys makes the calls of each case of pairs/ through an Envoy at either end: the sidecar
// of a caller, or a gateway, and the sidecar of the workload, with mutual TLS between them. Who calls is what the
// caller's certificate proves, and nothing that the client says. The evaluator has to agree.
//
// What is not there, beside TestPoliciesDecide, is the client's own TLS: From is the identity of one of pairCallers,
// or of the gateway, which is asked from Address and with Headers; Trusted is how many proxies before it it trusts.
func TestPoliciesDecideBetweenEnvoys(t *testing.T) {
	keys := newTokenKeys(t)
	m := startPairMesh(t, keys.set)
	calls := 0
	for _, p := range m.places {
		t.Run(p.name, func(t *testing.T) {
			for i, c := range p.Calls {
				calls++
				if c.Token != nil || c.Forged {
					c.carry(keys.sign(t, c.Token, c.Forged))
				}
				got := m.call(t, p, &c)
				if got.code != c.Code || c.Policy != "" && !strings.Contains(got.details, denier(c.Policy)) {
					t.Errorf("call %d %+v: the Envoys say %d %s", i, c, got.code, got.details)
				}
				c.checkCustom(t, i, got)
				if c.Code == http.StatusUnauthorized || c.Code == http.StatusServiceUnavailable {
					continue // tokens and handshakes are Envoy's
				}
				if d := m.decide(t, p, &c); (d.Allowed && !c.Refused) != (c.Code == 200) || d.Asks != c.Asks || c.Policy != "" && c.Policy != "none" && c.Policy != d.Rule {
					t.Errorf("call %d %+v: the evaluator says %+v", i, c, d)
				}
			}
		})
	}
	if calls < 100 {
		t.Errorf("only %d calls", calls)
	}
	t.Logf("%d calls between Envoys", calls)
}

// denier is what an answer says of who denied it.
func denier(policy string) string {
	if policy == "none" {
		return "no ALLOW policy matched"
	}
	return policy
}

// caller gives the Envoy by which a call goes; none where a client without a sidecar calls.
func (m *pairMesh) caller(t *testing.T, c *policyCall) *pairCaller {
	t.Helper()
	if c.From == gatewayIdentity {
		return m.gateways[c.Trusted]
	}
	if m.callers[c.From] == nil && c.From != "" {
		t.Fatalf("%s has no Envoy", c.From)
	}
	return m.callers[c.From]
}

func (m *pairMesh) call(t *testing.T, p *pairPlace, c *policyCall) *policyAnswer {
	t.Helper()
	httpPort, tcpPort := p.http, p.tcp
	if by := m.caller(t, c); by != nil {
		httpPort, tcpPort = by.http, by.tcp[p.name]
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if c.Address != "" {
		dialer.LocalAddr = &net.TCPAddr{IP: net.ParseIP(c.Address)}
	}
	if c.TCP {
		return callTCP(t, dialer, tcpPort)
	}
	req, err := http.NewRequestWithContext(t.Context(), c.method(), "http://127.0.0.1:"+strconv.Itoa(httpPort), strings.NewReader(c.Body))
	if err != nil {
		t.Fatal(err)
	}
	req.Host, req.URL.Opaque = p.host(c), c.path() // as it is written
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
func callTCP(t *testing.T, dialer *net.Dialer, port int) *policyAnswer {
	t.Helper()
	conn, err := dialer.DialContext(t.Context(), "tcp", "127.0.0.1:"+strconv.Itoa(port))
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

func (p *pairPlace) host(c *policyCall) string {
	if c.Host != "" {
		return c.Host
	}
	return p.name + ".shop"
}

// decide asks the evaluator about a call: at the gateway, if it goes by one, then at the workload.
func (m *pairMesh) decide(t *testing.T, p *pairPlace, c *policyCall) authz.Decision {
	t.Helper()
	call := authz.Call{Local: netip.MustParseAddr("127.0.0.1"), Port: uint32(p.tcp), Peer: netip.MustParseAddr("127.0.0.1")}
	outside := call.Peer
	if c.Address != "" {
		outside = netip.MustParseAddr(c.Address)
	}
	call.Client = outside // whom a gateway names to the sidecar, and who calls without any
	if c.From == "" {
		call.Peer = outside
	} else {
		servicePort := map[bool]uint32{false: 80, true: 9000}[c.TCP]
		call.Identity, call.ServerName = "spiffe://"+c.From, model.DNSSNIName(servicePort, "", p.name+".shop.svc.cluster.local")
	}
	if !c.TCP {
		call.Port = uint32(p.http)
		call.Request = &authz.Request{Method: c.method(), Host: authz.NormalizeHost(p.host(c)), Headers: map[string]string{}}
		for k, v := range c.Headers {
			call.Request.Headers[strings.ToLower(k)] = v
		}
	}
	if c.From == gatewayIdentity {
		atGateway := call
		atGateway.Identity, atGateway.ServerName, atGateway.Peer, atGateway.Client, atGateway.Port = "", "", outside, outside, 8080
		if c.Client != "" {
			atGateway.Client = netip.MustParseAddr(c.Client)
		}
		atGateway.Request.Path = authz.Normalize(c.path(), authz.Path(m.guard))
		atGateway.Request.Claims = authz.Noted(m.guard, c.Token)
		if d := authz.Decide(authz.Filters(m.guard), atGateway); !d.Allowed {
			return d
		}
	}
	chain, err := authz.Chain(p.inbound, &call)
	if err != nil {
		t.Fatal(err)
	}
	if call.Request != nil {
		call.Request.Path, call.Request.Claims = authz.Normalize(c.path(), authz.Path(chain)), nil
		if !c.Unread {
			call.Request.Claims = authz.Noted(chain, c.Token)
		}
	}
	return authz.Decide(authz.Filters(chain), call)
}
