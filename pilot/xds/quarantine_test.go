package xds

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// host leads a domain to a cluster. A bad one has a route too that Envoy refuses.
func host(domain, cluster string, bad bool) *routev3.VirtualHost {
	vh := &routev3.VirtualHost{Name: domain, Domains: []string{domain}, Routes: []*routev3.Route{{
		Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
		Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}},
	}}}
	if bad {
		broken := proto.Clone(vh.Routes[0]).(*routev3.Route)
		broken.Match = &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "("}}}
		vh.Routes = append(vh.Routes, broken)
	}
	return vh
}

func hosts(name string, all ...*routev3.VirtualHost) xdstest.Message {
	return xdstest.Message{Type: resource.Routes, Name: name, Body: &routev3.RouteConfiguration{Name: name, VirtualHosts: all}}
}

// ask sends a request for a host, and gives the status and the body; status 0 where there is no answer.
func ask(t *testing.T, port int, host string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, fmt.Sprintf("http://127.0.0.1:%d/", port), nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Host, req.Close = host, true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, ""
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body) // what came counts
	return res.StatusCode, string(body)
}

// A virtual host that Envoy refuses answers 503, and does not fall to the one that takes all hosts. One
// that Envoy had accepted stays as it was.
func TestEnvoyDeniesWhatItRefusesOfARoute(t *testing.T) {
	ports := map[string]uint32{"a": envoytest.Backend(t, "a"), "b": envoytest.Backend(t, "b")}
	for _, starts := range []bool{false, true} {
		t.Run(fmt.Sprintf("starts with it: %v", starts), func(t *testing.T) {
			port := envoytest.FreePort(t)
			base := []xdstest.Message{
				xdstest.Cluster("a", 1), xdstest.Assignment("a", ports["a"]), xdstest.Cluster("b", 1), xdstest.Assignment("b", ports["b"]),
				httpListener("http", port, "http"),
			}
			former := append(base[:len(base):len(base)], hosts("http", host("*", "a", false), host("was.test", "a", false)))
			next := append(base[:len(base):len(base)], hosts("http", host("*", "a", false), host("was.test", "b", true), host("new.test", "b", true), host("good.test", "b", false)))
			p := newPlane(t, former...)
			if starts {
				p.set(next...)
			}
			e := envoytest.Run(t, envoytest.Config{Node: testNode.GetId(), Socket: p.socket})
			is := func(domain string, status int, body string) {
				t.Helper()
				envoytest.Eventually(t, fmt.Sprintf("%s answers %d %q", domain, status, body), func() bool {
					gotStatus, got := ask(t, port, domain)
					return gotStatus == status && got == body
				})
			}
			if !starts {
				is("was.test", 200, "a")
				p.set(next...)
			}
			is("good.test", 200, "b")
			is("other.test", 200, "a")
			is("new.test", 503, "")
			if starts {
				is("was.test", 503, "")
			} else {
				is("was.test", 200, "a")
			}
			envoytest.Eventually(t, "both are reported", func() bool { return len(p.problems()) == 2 })
			for _, problem := range p.problems() {
				if problem.Object.Name != "rds http was.test" && problem.Object.Name != "rds http new.test" {
					t.Errorf("%v", problem)
				}
			}
			// What comes next has the same faults, which are not tried again.
			refused := e.Stat("http.http.rds.http.update_rejected")
			p.set(append(base[:len(base):len(base)], hosts("http", host("*", "a", false), host("was.test", "b", true), host("new.test", "b", true), host("good.test", "a", false)))...)
			is("good.test", 200, "a")
			if now := e.Stat("http.http.rds.http.update_rejected"); now != refused {
				t.Errorf("Envoy refused %d more", now-refused)
			}
			p.set(append(base[:len(base):len(base)], hosts("http", host("*", "a", false), host("new.test", "b", false)))...)
			is("new.test", 200, "b")
			envoytest.Eventually(t, "nothing is reported", func() bool { return len(p.problems()) == 0 })
		})
	}
}

// A filter chain that Envoy refuses closes its connections, which do not fall to the default chain.
func TestEnvoyClosesWhatItRefusesOfAListener(t *testing.T) {
	b := envoytest.Backend(t, "b")
	for _, starts := range []bool{false, true} {
		t.Run(fmt.Sprintf("starts with it: %v", starts), func(t *testing.T) {
			port := envoytest.FreePort(t)
			base := []xdstest.Message{xdstest.Cluster("b", 1), xdstest.Assignment("b", b), xdstest.Route("http", "b")}
			listener := func(bad bool) xdstest.Message {
				m := httpListener("http", port, "http")
				l := m.Body.(*listenerv3.Listener)
				l.DefaultFilterChain = proto.Clone(l.FilterChains[0]).(*listenerv3.FilterChain)
				l.FilterChains = []*listenerv3.FilterChain{{Name: "local", FilterChainMatch: &listenerv3.FilterChainMatch{SourceType: listenerv3.FilterChainMatch_SAME_IP_OR_LOOPBACK}, Filters: l.DefaultFilterChain.Filters}}
				if bad { // with a filter that denies, which the former has not, so that it cannot stand in
					l.FilterChains[0].Filters = append([]*listenerv3.Filter{{Name: "none", ConfigType: &listenerv3.Filter_TypedConfig{
						TypedConfig: &anypb.Any{TypeUrl: "type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"}, // it lacks its prefix
					}}}, l.FilterChains[0].Filters...)
				}
				return m
			}
			p := newPlane(t, append(base, listener(starts))...)
			envoytest.Run(t, envoytest.Config{Node: testNode.GetId(), Socket: p.socket})
			if !starts {
				envoytest.Eventually(t, "the chain serves", func() bool { _, body := ask(t, port, "x"); return body == "b" })
				p.set(append(base, listener(true))...)
			}
			envoytest.Eventually(t, "the fault is reported", func() bool { return len(p.problems()) == 1 })
			envoytest.Eventually(t, "the listener is there and closes connections", func() bool {
				status, _ := ask(t, port, "x")
				return status == 0 && dials(port)
			})
			p.set(append(base, listener(false))...)
			envoytest.Eventually(t, "the chain serves again", func() bool { _, body := ask(t, port, "x"); return body == "b" })
		})
	}
}

// dials tells whether a port of loopback takes connections.
func dials(port int) bool {
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		return false
	}
	_ = c.Close() // it was there
	return true
}
