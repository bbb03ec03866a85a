package translate

import (
	"cmp"
	"net/http"
	"net/netip"
	"regexp"
	"strings"
	"testing"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// explained gives what explain has to read of a proxy, beside what it is given already.
func explained(res Resources, all ...proto.Message) *explain.Config {
	for _, kind := range res.ByType {
		for _, r := range kind {
			all = append(all, r.Body)
		}
	}
	return explain.NewConfig(all)
}

// explained gives what a caller runs, with who it is and the proxy of the case's workload.
func (p *pairPlace) explained(by pairCaller) *explain.Config {
	res := p.translated(by.proxy())
	for i, r := range res.ByType["endpoints"] {
		res.ByType["endpoints"][i].Body = p.at(r.Body.(*endpointv3.ClusterLoadAssignment))
	}
	c := explained(res)
	c.Identity, c.IP = "spiffe://"+by.identity, netip.MustParseAddr(cmp.Or(by.pod, "127.0.0.1"))
	c.Peer = func(server netip.Addr) *explain.Peer {
		if server.String() != p.address {
			return nil
		}
		return &explain.Peer{Name: p.name, Config: func() (*explain.Config, error) { return p.config, nil }}
	}
	return c
}

// at gives a load assignment with the address where the workload's Envoy listens.
func (p *pairPlace) at(a *endpointv3.ClusterLoadAssignment) *endpointv3.ClusterLoadAssignment {
	a = proto.CloneOf(a)
	for _, group := range a.Endpoints {
		for _, ep := range group.LbEndpoints {
			ep.GetEndpoint().GetAddress().GetSocketAddress().Address = p.address
		}
	}
	return a
}

// asked is a call as it comes to the workload of a case.
func (p *policyPlace) asked(c *policyCall) explain.Request {
	r := c.request(explain.Direct, netip.MustParseAddr(p.address), map[bool]uint16{false: 8080, true: 9000}[c.TCP])
	if c.From != "" {
		r.TLS = &explain.TLS{SNI: c.SNI, ALPN: []string{"istio"}, Certificate: true, Identity: "spiffe://" + c.From}
	}
	return r
}

// request is a call without its TLS.
func (c *policyCall) request(way explain.Way, to netip.Addr, port uint16) explain.Request {
	r := explain.Request{
		Way: way, Source: netip.MustParseAddr("127.0.0.1"), Destination: netip.AddrPortFrom(to, port), Protocol: explain.TCP,
	}
	if c.Address != "" {
		r.Source = netip.MustParseAddr(c.Address)
	}
	if c.TCP {
		return r
	}
	r.Protocol, r.Method, r.Host, r.Path, r.Header = explain.HTTP11, c.method(), c.host(), c.path(), http.Header{}
	for name, value := range c.Headers {
		r.Header.Set(name, value)
	}
	if !c.Unread {
		r.Claims = c.Token
	}
	return r
}

// explain follows a call from the proxy that it goes by.
func (p *pairPlace) explain(c *policyCall) *explain.Answer {
	by, ok := p.caller(c)
	way, to, port := explain.Outbound, "10.1.0.1", map[bool]uint16{false: 80, true: pairTCP}[c.TCP]
	switch {
	case !ok:
		way, to, port = explain.Inbound, p.address, map[bool]uint16{false: pairHTTP, true: pairTCP}[c.TCP]
	case by.gateway():
		way, to, port = explain.Direct, "127.0.0.1", 8080
	}
	r := c.request(way, netip.MustParseAddr(to), port)
	if !ok {
		return p.config.Explain(r)
	}
	return p.explained(by).Explain(r)
}

// asks finds the provider that a step names.
var asks = regexp.MustCompile(`asks provider (\S+) about`)

// checkExplained holds what explain says against what is expected of a call: what of a token only Envoy knows is left
// out, and so is what filters of EnvoyFilters note.
func (c *policyCall) checkExplained(t *testing.T, i int, a *explain.Answer) {
	t.Helper()
	if c.Noted || c.Forged || c.Token["exp"] != nil || c.Token["nbf"] != nil || c.Code == http.StatusUnauthorized && (c.Token == nil || c.Unread) {
		return
	}
	o := &a.Outcome
	passes := !o.Refused || o.Flags == "UH" // a listener that is no sidecar's does not know where connections were sent
	if (passes && !c.Refused) != (c.Code == http.StatusOK) {
		t.Errorf("call %d %+v: explain has %s", i, c, o)
	}
	if !passes && !o.Closed && o.Status != c.Code {
		t.Errorf("call %d %+v: explain says status %d", i, c, o.Status)
	}
	provider, decided := "", c.Policy == "" || c.Policy == "none"
	for _, s := range a.Steps {
		if found := asks.FindStringSubmatch(s.Text); found != nil {
			provider = found[1]
		}
		parts := strings.Split(s.Object, "/")
		decided = decided || s.Stage == explain.StagePolicy && len(parts) == 8 && strings.Contains(s.Text, "denies") && strings.Contains(c.Policy, parts[7])
	}
	if provider != c.Asks || !decided {
		t.Errorf("call %d %+v: explain asks %q, and tells the policy: %t\n%+v", i, c, provider, decided, a.Steps)
	}
}
