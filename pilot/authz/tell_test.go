package authz_test

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"net/netip"
	"testing"

	security "istio.io/api/security/v1beta1"

	"github.com/pilothouse-mesh/pilothouse/pilot/authz"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// pairs are lists of values of which one takes the place of another.
func (m maker) values() []string {
	return m.list("a", "ab", "a*", "ab*", "*b", "*ab", "*", "b", "b*")
}

// pair makes a policy that asks for a lot, and one in which one list is another.
func (m maker) pair() [2]*security.AuthorizationPolicy {
	action := security.AuthorizationPolicy_Action(m.IntN(2))
	key := m.one("request.headers[x]", "source.namespace", "request.auth.claims[g]", "source.principal", "request.auth.principal")
	base := m.policy()
	base.Action = action
	var out [2]*security.AuthorizationPolicy
	which := m.IntN(8)
	for i := range out {
		r := &security.Rule{}
		p := &security.AuthorizationPolicy{Action: action, Rules: []*security.Rule{r}}
		if m.IntN(2) == 0 && len(base.Rules) > 0 {
			p.Rules = append(p.Rules, base.Rules[0])
		}
		s, o := &security.Source{}, &security.Operation{}
		switch which {
		case 0:
			r.When = []*security.Condition{{Key: key, NotValues: append(m.values(), "a*")}}
		case 1:
			r.When = []*security.Condition{{Key: key, Values: append(m.values(), "ab")}}
		case 2:
			o.Paths, o.NotPaths = append(m.list("/a", "/a*", "*/b", "/a/{*}/b", "/{**}/b"), "/a/b"), m.list("/a/b*", "/ab", "*b")
		case 3:
			o.Methods, o.Hosts = append(m.list("GET", "PO*", "*T"), "PUT"), m.list("a.example", "*.example", "a*")
		case 4:
			s.IpBlocks, s.NotIpBlocks = append(m.list("10.0.0.0/8", "10.1.0.0/16", "192.0.2.0/24"), "10.1.2.0/24"), m.list("10.1.0.0/24", "10.1.2.3")
		case 5:
			s.Namespaces, s.NotNamespaces = append(m.values(), "c"), m.values()
		case 6:
			s.Principals, s.NotPrincipals = append(m.list("cluster.local/ns/a/sa/x", "*/sa/y", "*y", "cluster.local/ns/a*", "*"), "cluster.local/ns/b/sa/b"), m.list("*/ns/a/sa/x", "cluster.local/ns/b/*")
		case 7:
			s.RequestPrincipals, s.NotRequestPrincipals = append(m.list("*", "iss/*", "*/sub", "iss/sub"), "other/x"), m.list("iss/s*", "iss/x")
		}
		if which > 3 {
			r.From = []*security.Rule_From{{Source: s}}
		} else if which > 1 {
			r.To = []*security.Rule_To{{Operation: o}}
		}
		out[i] = p
	}
	return out
}

func (m maker) anyCall() authz.Call {
	name := func() string { return m.one("a", "ab", "abc", "b", "bb", "xab", "xb", "c", "other", "x", "y", "xy") }
	c := authz.Call{
		Identity: m.one("", "spiffe://cluster.local/ns/"+name()+"/sa/"+name()),
		Peer:     netip.MustParseAddr(m.one("10.0.0.1", "10.1.0.1", "10.1.2.3", "10.1.2.4", "10.1.0.9", "192.0.2.9", "203.0.113.7")), Port: 8080,
		Request: &authz.Request{
			Method: m.one("GET", "POST", "PUT", "PATCH", "DELETE"), Host: m.one("a.example", "b.example", "ab", "x"),
			Path: m.one("/", "/a", "/ab", "/a/b", "/a/x/b", "/x/y/b", "/a/b/c", "/x", "/xb"), Headers: map[string]string{},
		},
	}
	c.Client = c.Peer
	if m.IntN(2) == 0 {
		c.Request.Headers["x"] = name()
	}
	if m.IntN(2) == 0 {
		c.Request.Claims = map[string]any{"iss": m.one("iss", "other"), "sub": m.one("sub", "sx", "x", "y"), "g": m.one("a", "ab", "abc", "xb", "b", "c")}
	}
	return c
}

// Where two policies decide otherwise about any call, they do so about one of those by which they are told apart.
func checkTelling(t *testing.T, seed uint64) (differ bool) {
	m := maker{rand.New(rand.NewPCG(seed, 7))}
	pair := m.pair()
	var filters [2][]*ir.RBAC
	for i, p := range pair {
		http, _ := chains(t, storetest.Object(model.KindAuthorizationPolicy, "shop", "p", p))
		filters[i] = again(t, authz.Filters(http))
	}
	var found *authz.Call
	for range 400 {
		c := m.anyCall()
		if authz.Decide(filters[0], c).Allowed != authz.Decide(filters[1], c).Allowed {
			found = &c
			break
		}
	}
	if found == nil {
		return false
	}
	told := authz.Tell(filters[0], filters[1], authz.Usual{
		TrustDomain: "cluster.local", Port: 8080, Hosts: []string{"localhost", "any"},
		Callers: []authz.Caller{{Name: "clear", Clear: true}, {Name: "other", Identity: authz.AnyIdentity("cluster.local")}},
	})
	for i, c := range told.Callers {
		for j, o := range told.Operations {
			call := callOf(c, o)
			differs := authz.Decide(filters[0], call).Allowed != authz.Decide(filters[1], call).Allowed
			if differs != told.Differ(i, j) {
				t.Fatalf("seed %d: of %+v and %+v it says %t\n%v\n%v", seed, c, o, !differs, pair[0], pair[1])
			}
			if differs {
				return true
			}
		}
	}
	t.Errorf("seed %d: nothing tells apart\n%v\n%v\nwhich decide otherwise about %+v %+v", seed, pair[0], pair[1], *found, *found.Request)
	return true
}

func callOf(c authz.Caller, o authz.Operation) authz.Call {
	return authz.Call{
		Identity: c.Identity, Peer: c.Source, Client: c.Client, Port: 8080, ServerName: o.ServerName, Local: o.Local,
		Request: &authz.Request{
			Method: cmp.Or(o.Method, "GET"), Host: cmp.Or(o.Host, "localhost"), Path: cmp.Or(o.Path, "/"), Headers: maps.Clone(c.Headers), Claims: c.Claims,
		},
	}
}

func TestRulesAreToldApart(t *testing.T) {
	differ := 0
	for seed := range uint64(600) {
		if checkTelling(t, seed) {
			differ++
		}
	}
	if differ < 200 {
		t.Errorf("only %d pairs decide otherwise about a call", differ)
	}
}
