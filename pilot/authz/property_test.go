package authz_test

import (
	"math/rand/v2"
	"net/netip"
	"testing"

	"google.golang.org/protobuf/proto"
	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// chains gives the chains of requests and of connections of a workload with policies.
func chains(t testing.TB, policies ...*model.Object) (http, tcp *ir.FilterChain) {
	t.Helper()
	r := store.FromObjects(policies, store.Options{Domain: "cluster.local"}).Reader(nil)
	all, _ := resolve.Inbound(r, &resolve.Class{Type: model.SidecarProxy, Namespace: "shop"})
	for _, c := range all[0].Chains {
		switch c.Name {
		case "virtualInbound-catchall-http":
			http = c
		case "virtualInbound":
			tcp = c
		}
	}
	if http == nil || tcp == nil {
		t.Fatal("no chains")
	}
	return http, tcp
}

// maker makes policies and calls that often meet.
type maker struct{ *rand.Rand }

func (m maker) one(of ...string) string { return of[m.IntN(len(of))] }

func (m maker) list(of ...string) []string {
	if m.IntN(2) == 0 {
		return nil
	}
	out := []string{m.one(of...)}
	if m.IntN(2) == 0 {
		out = append(out, m.one(of...))
	}
	return out
}

func (m maker) source() *security.Source {
	return &security.Source{
		Principals:        append(m.list("cluster.local/ns/a/sa/x", "*/sa/y", "*"), "cluster.local/ns/b/*"),
		NotPrincipals:     m.list("cluster.local/ns/a/sa/x", "*/sa/y"),
		Namespaces:        m.list("a", "b", "*"),
		NotNamespaces:     m.list("a", "b"),
		IpBlocks:          m.list("10.0.0.0/8", "10.0.0.1", "2001:db8::/32"),
		NotIpBlocks:       m.list("10.0.0.1", "192.0.2.0/24"),
		RequestPrincipals: m.list("*", "iss/sub", "iss/*"), NotRequestPrincipals: m.list("iss/sub"),
	}
}

func (m maker) policy() *security.AuthorizationPolicy {
	p := &security.AuthorizationPolicy{Action: security.AuthorizationPolicy_Action(m.IntN(4))}
	for range 1 + m.IntN(2) {
		r := &security.Rule{}
		if m.IntN(3) > 0 {
			r.From = append(r.From, &security.Rule_From{Source: m.source()})
		}
		if m.IntN(3) > 0 {
			r.To = append(r.To, &security.Rule_To{Operation: &security.Operation{
				Hosts: m.list("shop.example", "*.example"), Methods: m.list("GET", "POST", "*"), NotMethods: m.list("GET"),
				Paths: append(m.list("/a*", "*/b", "/{*}/b"), "/a/b"), NotPaths: m.list("/a/c", "/{**}"), Ports: m.list("8080", "9090"),
			}})
		}
		if m.IntN(2) == 0 {
			r.When = append(r.When, &security.Condition{Key: m.one("request.headers[x]", "request.auth.claims[g]", "source.ip"), Values: []string{"10.0.0.1"}, NotValues: m.list("10.0.0.2")})
		}
		p.Rules = append(p.Rules, r)
	}
	return p
}

// fault breaks one thing of a policy that is checked when it is translated.
func (m maker) fault(p *security.AuthorizationPolicy) {
	bad := func(list []string, v string) []string {
		if len(list) == 0 {
			return list
		}
		list[m.IntN(len(list))] = v
		return list
	}
	r := p.Rules[m.IntN(len(p.Rules))]
	for _, from := range r.From {
		s := from.Source
		switch m.IntN(6) {
		case 0:
			s.Principals = bad(s.Principals, "")
		case 1:
			s.IpBlocks = bad(s.IpBlocks, "10.0.0.0/99")
		case 2:
			s.NotIpBlocks = bad(s.NotIpBlocks, "nowhere")
		case 3:
			s.NotPrincipals = bad(s.NotPrincipals, "")
		case 4:
			s.RequestPrincipals = bad(s.RequestPrincipals, "")
		case 5:
			from.Source = nil
		}
	}
	for _, to := range r.To {
		o := to.Operation
		switch m.IntN(5) {
		case 0:
			o.Paths = bad(o.Paths, "/{**}/{*}")
		case 1:
			o.NotPaths = bad(o.NotPaths, "{x}")
		case 2:
			o.Ports = bad(o.Ports, "http")
		case 3:
			o.Methods = bad(o.Methods, "")
		case 4:
			to.Operation = nil
		}
	}
	for _, w := range r.When {
		switch m.IntN(4) {
		case 0:
			w.Key = m.one("", "source.color", "request.headers[", "request.auth.claims[]")
		case 1:
			w.Values = []string{""}
		case 2:
			w.NotValues = bad(w.NotValues, "")
		case 3:
			w.Values, w.NotValues = nil, nil
		}
	}
	if m.IntN(8) == 0 {
		p.Action = 17 // of a version to come
	}
}

func (m maker) call() authz.Call {
	c := authz.Call{
		Identity: m.one("", "spiffe://cluster.local/ns/a/sa/x", "spiffe://cluster.local/ns/b/sa/y", "spiffe://other/ns/a/sa/y"),
		Peer:     netip.MustParseAddr(m.one("10.0.0.1", "10.0.0.2", "192.0.2.9", "2001:db8::1")), Local: netip.MustParseAddr("10.1.0.1"), Port: 8080,
	}
	c.Client = c.Peer
	if m.IntN(4) > 0 {
		c.Request = &authz.Request{
			Method: m.one("GET", "POST"), Host: m.one("shop.example", "SHOP.example", "x"), Path: m.one("/a/b", "/a/c", "/b", "/x/b?q"),
			Headers: map[string]string{"x": m.one("10.0.0.1", "10.0.0.2")},
		}
		if m.IntN(2) == 0 {
			c.Request.Claims = map[string]any{"iss": "iss", "sub": m.one("sub", "other"), "g": []any{"10.0.0.1"}}
		}
	}
	return c
}

// A fault in a policy never lets a call pass that the policy without it keeps out, whatever the action.
func checkFault(t *testing.T, seed uint64) (differ int) {
	m := maker{rand.New(rand.NewPCG(seed, 1))}
	good := m.policy()
	broken := proto.Clone(good).(*security.AuthorizationPolicy)
	m.fault(broken)
	object := func(p *security.AuthorizationPolicy) *model.Object {
		return storetest.Object(model.KindAuthorizationPolicy, "shop", "p", p)
	}
	http, tcp := chains(t, object(good))
	brokenHTTP, brokenTCP := chains(t, object(broken))
	if broken.Action == 17 && good.Action == security.AuthorizationPolicy_ALLOW {
		return 0 // it is another policy, which denies what it matches
	}
	for range 40 {
		call := m.call()
		a, b := http, brokenHTTP
		if call.Request == nil {
			a, b = tcp, brokenTCP
		}
		without, with := authz.Decide(authz.Filters(a), call), authz.Decide(authz.Filters(b), call)
		if without.Allowed != with.Allowed {
			differ++
		}
		if with.Allowed && !without.Allowed {
			t.Fatalf("seed %d: %+v passes with a fault only\n%v\n%v", seed, call, good, broken)
		}
	}
	return differ
}

func TestNoFaultLetsMorePass(t *testing.T) {
	differ := 0
	for seed := range uint64(600) {
		differ += checkFault(t, seed)
	}
	if differ < 500 {
		t.Errorf("only %d calls were decided otherwise with a fault", differ)
	}
}

func FuzzNoFaultLetsMorePass(f *testing.F) {
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) { checkFault(t, seed) })
}
