package semantics

import (
	"fmt"
	"math/rand/v2"
	"slices"

	networking "istio.io/api/networking/v1alpha3"
)

// Random meshes. Hosts, names and conditions come from short lists, so that rules meet each other and calls meet rules.

func pick[T any](r *rand.Rand, of ...T) T { return of[r.IntN(len(of))] }

// some picks one to most, none of them twice.
func some[T comparable](r *rand.Rand, most int, of ...T) []T {
	var out []T
	for range 1 + r.IntN(most) {
		if one := pick(r, of...); !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}

// maker makes one mesh.
type maker struct {
	*rand.Rand
	mesh    *mesh
	subsets int // each destination has a subset of its own, by which calls tell it
}

const cluLocal = ".svc.cluster.local"

func newMesh(seed uint64) (*mesh, *rand.Rand) {
	r := rand.New(rand.NewPCG(seed, 7))
	m := &maker{Rand: r, mesh: &mesh{}}
	for i := range 1 + r.IntN(3) {
		m.gateway(i)
	}
	for i := range r.IntN(3) {
		m.delegate(i)
	}
	for i := range 2 + r.IntN(4) {
		m.virtualService(i)
	}
	if r.IntN(3) == 0 {
		m.sidecar()
	}
	return m.mesh, r
}

// meta gives one of few ages and a name by which objects of one age are in another order than by their namespaces.
func (m *maker) meta(i int) meta {
	return meta{pick(m.Rand, "default", "other", rootNamespace), fmt.Sprintf("%s%d", pick(m.Rand, "a", "b", "c"), i), m.IntN(5)}
}

func (m *maker) exportTo() []string {
	return pick(m.Rand, nil, nil, nil, nil, nil, []string{"."}, []string{".", "default", rootNamespace}, []string{rootNamespace, "default"}, []string{"*"}, []string{"other"}, []string{"default"}, []string{rootNamespace}, []string{".", "other"}, []string{"default", "*"}, []string{rootNamespace, "other"}, []string{"~"})
}

// delegate makes a VirtualService without hosts.
func (m *maker) delegate(i int) {
	d := &virtualService{m.meta(i), &networking.VirtualService{ExportTo: pick(m.Rand, nil, nil, m.exportTo())}}
	d.name = fmt.Sprintf("delegate%d", i)
	for range 1 + m.IntN(3) {
		d.Http = append(d.Http, m.rule("", false))
	}
	m.mesh.rules = append(m.mesh.rules, d)
}

// virtualService makes one for sidecars, for gateways, or for both.
func (m *maker) virtualService(i int) {
	v := &virtualService{m.meta(i), &networking.VirtualService{ExportTo: m.exportTo()}}
	inside := []string{
		"reviews.default" + cluLocal, "details.default" + cluLocal, "shop.default" + cluLocal, "pay.other" + cluLocal, "db.default" + cluLocal, "web.other" + cluLocal,
		"*.default" + cluLocal, "*" + cluLocal, "*.other" + cluLocal, "api.example.com", "www.example.com", "*.example.com", "*.wild.example.com", "a.wild.example.com",
	}
	edge := []string{"a.example.com", "*.example.com", "x.y.example.com", "*.y.example.com", "www.test", "*.test"}
	var gateways []string
	for _, g := range m.mesh.gateways {
		gateways = append(gateways, g.key())
	}
	switch m.IntN(5) {
	case 0, 1:
		v.Hosts, v.Gateways = some(m.Rand, 2, inside...), pick(m.Rand, nil, []string{"mesh"})
	case 2, 3:
		v.Hosts, v.Gateways = some(m.Rand, 2, append(edge, "*")...), some(m.Rand, 2, gateways...)
	default:
		v.Hosts, v.Gateways = some(m.Rand, 3, append(edge, inside...)...), append(some(m.Rand, 2, gateways...), "mesh")
	}
	v.Hosts = apart(v.Hosts)
	m.fill(v)
	m.mesh.rules = append(m.mesh.rules, v)
}

// apart leaves out hosts that overlap with one before them: in one VirtualService they are refused.
func apart(hosts []string) []string {
	var out []string
	for _, h := range hosts {
		if !slices.ContainsFunc(out, func(o string) bool { return overlap(h, o) }) {
			out = append(out, h)
		}
	}
	return out
}

// fill gives it rules: of HTTP, and of TCP and TLS, or of one of these alone.
func (m *maker) fill(v *virtualService) {
	gateway := pick(m.Rand, append([]string{"mesh", ""}, v.GetGateways()...)...)
	if !slices.Contains(v.GetGateways(), gateway) {
		gateway = "" // a match for a gateway that its VirtualService does not name is refused
	}
	kinds := pick(m.Rand, 1, 1, 1, 3, 5, 7, 2, 4, 6) // 1 for HTTP, 2 for TCP, 4 for TLS
	if kinds&1 > 0 {
		for range 1 + m.IntN(3) {
			v.Http = append(v.Http, m.rule(gateway, true))
		}
	}
	if kinds&2 > 0 {
		for range 1 + m.IntN(2) {
			v.Tcp = append(v.Tcp, &networking.TCPRoute{Match: m.tcpMatches(gateway), Route: m.destinations()})
		}
	}
	if kinds&4 > 0 {
		for range 1 + m.IntN(2) {
			v.Tls = append(v.Tls, &networking.TLSRoute{Match: m.tlsMatches(gateway, v.GetHosts()), Route: m.destinations()})
		}
	}
}

// rule makes one of HTTP, which delegates where it may.
func (m *maker) rule(gateway string, root bool) *networking.HTTPRoute {
	out := &networking.HTTPRoute{}
	delegates := slices.DeleteFunc(slices.Clone(m.mesh.rules), func(v *virtualService) bool { return len(v.GetHosts()) > 0 })
	delegates = delegates[:len(delegates):len(delegates)]
	lends := root && len(delegates) > 0 && m.IntN(2) == 0
	for range m.IntN(3) {
		out.Match = append(out.Match, m.match(gateway, !lends && root))
		if last := out.Match[len(out.Match)-1]; lends && last.GetUri() != nil { // what delegates ask for lies within it, mostly
			last.Uri = pick(m.Rand, prefixed("/"), prefixed("/a"))
		}
	}
	switch {
	case lends:
		d := pick(m.Rand, delegates...)
		out.Delegate = &networking.Delegate{Name: d.name, Namespace: pick(m.Rand, d.namespace, d.namespace, "")}
	case m.IntN(8) == 0:
		m.subsets++
		out.DirectResponse = &networking.HTTPDirectResponse{Status: uint32(400 + m.subsets%100)}
	case m.IntN(8) == 0:
		m.subsets++
		out.Redirect = &networking.HTTPRedirect{Authority: fmt.Sprintf("s%d.test", m.subsets)}
	default:
		for _, d := range m.destinations() {
			out.Route = append(out.Route, &networking.HTTPRouteDestination{Destination: d.GetDestination(), Weight: d.GetWeight()})
		}
	}
	return out
}

// match makes one of HTTP; regular expressions have no place where rules are delegated.
func (m *maker) match(gateway string, regex bool) *networking.HTTPMatchRequest {
	out := &networking.HTTPMatchRequest{}
	often := func(n int) bool { return m.IntN(n) == 0 }
	rarely := func(n int) bool { return often(n) && (regex || often(3)) } // what is delegated meets another match as well
	exact := func(s string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Exact{Exact: s}}
	}
	prefix := prefixed
	of := func(s string) *networking.StringMatch {
		return &networking.StringMatch{MatchType: &networking.StringMatch_Regex{Regex: s}}
	}
	if !often(4) {
		out.Uri = pick(m.Rand, prefix("/"), prefix("/a"), prefix("/a"), prefix("/a/b"), prefix("/A"), exact("/a"), exact("/a/b"))
		if regex && often(4) {
			out.Uri = of(pick(m.Rand, ".*", "/a.*", "/[ab]/b"))
		}
		out.IgnoreUriCase = rarely(6)
	}
	value := func() *networking.StringMatch {
		if regex && often(3) {
			return of(pick(m.Rand, "[12]", ".*"))
		}
		return pick(m.Rand, exact("1"), exact("2"), prefix("1"), &networking.StringMatch{})
	}
	if rarely(5) {
		out.Headers = map[string]*networking.StringMatch{"x": value()}
	}
	if rarely(6) {
		out.WithoutHeaders = map[string]*networking.StringMatch{pick(m.Rand, "x", "y"): value()}
	}
	if rarely(8) {
		put(&out.Headers, claimHeader, exact(pick(m.Rand, "staff", "guest")))
	}
	if often(6) {
		out.QueryParams = map[string]*networking.StringMatch{"v": value()}
	}
	if rarely(8) {
		out.Method = exact(pick(m.Rand, "GET", "POST"))
	}
	if rarely(10) {
		out.Authority = pick(m.Rand, exact("a.example.com"), prefix("x"), prefix("a"))
	}
	if rarely(12) {
		out.Scheme = exact(pick(m.Rand, "http", "https"))
	}
	m.source(gateway, &out.Gateways, &out.SourceLabels, &out.SourceNamespace, &out.Port)
	return out
}

func prefixed(s string) *networking.StringMatch {
	return &networking.StringMatch{MatchType: &networking.StringMatch_Prefix{Prefix: s}}
}

// source fills in what a match of any protocol says about who asks, and where.
func (m *maker) source(gateway string, gateways *[]string, labels *map[string]string, namespace *string, port *uint32) {
	if gateway != "" && m.IntN(4) == 0 {
		*gateways = []string{gateway}
	}
	if m.IntN(5) == 0 {
		*labels = map[string]string{"app": pick(m.Rand, "client", "other")}
	}
	if m.IntN(5) == 0 {
		*namespace = pick(m.Rand, "default", "other", rootNamespace)
	}
	if m.IntN(6) == 0 {
		*port = pick(m.Rand, uint32(80), 9080, 443)
	}
}

func (m *maker) tcpMatches(gateway string) []*networking.L4MatchAttributes {
	var out []*networking.L4MatchAttributes
	for range m.IntN(3) {
		a := &networking.L4MatchAttributes{}
		m.source(gateway, &a.Gateways, &a.SourceLabels, &a.SourceNamespace, &a.Port)
		if a.Port != 0 {
			a.Port = pick(m.Rand, uint32(5432), 6000)
		}
		if m.IntN(3) == 0 {
			a.DestinationSubnets = some(m.Rand, 2, "10.96.0.5/32", "10.96.7.1/32", "10.96.0.0/16", "192.0.2.0/24")
		}
		out = append(out, a)
	}
	return out
}

// tlsMatches asks for names of the hosts of their VirtualService.
func (m *maker) tlsMatches(gateway string, hosts []string) []*networking.TLSMatchAttributes {
	var out []*networking.TLSMatchAttributes
	for range 1 + m.IntN(2) {
		a := &networking.TLSMatchAttributes{}
		m.source(gateway, &a.Gateways, &a.SourceLabels, &a.SourceNamespace, &a.Port)
		if a.Port != 0 {
			a.Port = 443
		}
		for _, h := range some(m.Rand, 2, hosts...) {
			a.SniHosts = append(a.SniHosts, pick(m.Rand, h, "a"+h[1:]))
			if h[0] != '*' {
				a.SniHosts[len(a.SniHosts)-1] = h
			}
			if h == "*" {
				a.SniHosts[len(a.SniHosts)-1] = pick(m.Rand, "a.example.com", "*.test")
			}
		}
		out = append(out, a)
	}
	return out
}

// destinations makes one, or several with shares.
func (m *maker) destinations() []*networking.RouteDestination {
	var out []*networking.RouteDestination
	for i := range pick(m.Rand, 1, 1, 1, 2, 3) {
		m.subsets++
		d := &networking.Destination{Host: pick(m.Rand, "reviews.default"+cluLocal, "shop.default"+cluLocal, "web.other"+cluLocal, "gone.test"), Subset: fmt.Sprintf("s%d", m.subsets)}
		if m.IntN(2) == 0 {
			d.Port = &networking.PortSelector{Number: pick(m.Rand, uint32(80), 9080)}
		}
		out = append(out, &networking.RouteDestination{Destination: d, Weight: int32(pick(m.Rand, 0, 10, 25, 50))})
		if i == 0 {
			out[0].Weight = 40
		}
	}
	if len(out) == 1 {
		out[0].Weight = int32(pick(m.Rand, 0, 100))
	}
	return out
}
