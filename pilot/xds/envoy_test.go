package xds

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// serving is a mesh in which an Envoy's port leads to one of two backends.
type serving struct {
	*plane
	*envoytest.Envoy
	*envoytest.Load
	port  int
	ports map[string]uint32
}

// state is all messages that lead the port to a cluster of a version.
func (s *serving) state(name string, version int) []xdstest.Message {
	cluster := fmt.Sprintf("%s-%d", name, version)
	return []xdstest.Message{
		xdstest.Cluster(cluster, 1+version), xdstest.Assignment(cluster, s.ports[name]),
		httpListener("http", s.port, "http"), xdstest.Route("http", cluster),
	}
}

// httpListener serves routes that come over ADS under the listener's name.
func httpListener(name string, port int, stat string) xdstest.Message {
	return xdstest.Listener(name, port, name, stat, &routerv3.Router{})
}

func serve(t *testing.T) *serving {
	t.Helper()
	s := &serving{port: envoytest.FreePort(t), ports: map[string]uint32{"a": envoytest.Backend(t, "a"), "b": envoytest.Backend(t, "b")}}
	s.plane = newPlane(t, s.state("a", 0)...)
	s.Envoy = envoytest.Run(t, envoytest.Config{Node: testNode.GetId(), Socket: s.socket})
	envoytest.Eventually(t, "the listener is up", func() bool {
		return s.Stat("listener_manager.total_listeners_active") == 1 && s.Stat("cluster_manager.warming_clusters") == 0
	})
	s.Load = startLoad(t, s.port)
	envoytest.Eventually(t, "traffic reaches a", from(s.Load, "a"))
	return s
}

// startLoad sends requests as fast as they are answered, nearly.
func startLoad(t *testing.T, port int) *envoytest.Load {
	return envoytest.StartLoad(t, envoytest.Requests{URL: fmt.Sprintf("http://127.0.0.1:%d/", port), Interval: time.Millisecond})
}

// from tells whether a load's last answer came from a backend.
func from(l *envoytest.Load, name string) func() bool {
	return func() bool { return l.Last().Body == name }
}

// check asserts that nothing failed, was rejected or is stuck.
func (s *serving) check(t *testing.T) {
	t.Helper()
	envoytest.Eventually(t, "nothing is warming", func() bool {
		return s.Stat("cluster_manager.warming_clusters") == 0 && s.Stat("listener_manager.total_listeners_warming") == 0
	})
	for _, name := range []string{"cluster_manager.cds.update_rejected", "listener_manager.lds.update_rejected"} {
		if n := s.Stat(name); n != 0 {
			t.Errorf("%s: %d", name, n)
		}
	}
	s.unharmed(t)
}

// unharmed ends the load and asserts that no request failed.
func (s *serving) unharmed(t *testing.T) {
	t.Helper()
	s.Load.Stop()
	if total, failed, last := s.Result(); failed != 0 {
		t.Errorf("%d of %d requests failed, the last with %v", failed, total, last.Err)
	}
}

func TestEnvoyMakeBeforeBreak(t *testing.T) {
	s := serve(t)
	for i := range 6 {
		name := []string{"b", "a"}[i%2]
		s.set(s.state(name, i)...)
		envoytest.Eventually(t, "traffic moves to "+name, from(s.Load, name))
	}
	envoytest.Eventually(t, "only the last cluster is left", func() bool {
		return s.Stat("cluster_manager.active_clusters") == 3 // and the two of the bootstrap
	})
	s.check(t)
}

func TestEnvoyNeverStuckAfterABreakAtAnyStage(t *testing.T) {
	s := serve(t)
	version := 0
	for _, stage := range []resource.Type{resource.Clusters, resource.Endpoints, resource.Listeners, resource.Routes} {
		version++
		before := s.cuts.Load()
		s.cut(stage)
		next := s.state("b", version)
		next[2] = httpListener("http", s.port, fmt.Sprintf("http%d", version))
		s.set(next...)
		envoytest.Eventually(t, "the stream is cut at "+stage.String(), func() bool { return s.cuts.Load() > before })
		envoytest.Eventually(t, "the new cluster is in use after a cut at "+stage.String(), func() bool {
			return s.Stat(fmt.Sprintf("cluster.b-%d.upstream_rq_total", version)) > 0
		})
	}
	// An update of a cluster in use, its load assignment unchanged, cut between the two.
	s.cut(resource.Endpoints)
	next := s.state("b", version)
	next[0] = xdstest.Cluster(fmt.Sprintf("b-%d", version), 77)
	before := s.cuts.Load()
	s.set(next...)
	envoytest.Eventually(t, "the stream is cut before endpoints", func() bool { return s.cuts.Load() > before })
	envoytest.Eventually(t, "the cluster is updated", func() bool { return strings.Contains(s.Get("/config_dump?resource=dynamic_active_clusters"), `"77s"`) })
	s.check(t)
}

func TestEnvoyKeepsWhatItHasOverARestart(t *testing.T) {
	s := serve(t)
	s.plane.stop()
	s.plane.start()
	envoytest.Eventually(t, "Envoy is back with all types", func() bool {
		all := s.server.Connections()
		return len(all) == 1 && all[0].Types[resource.Routes].State == StateSynced && all[0].Types[resource.Endpoints].State == StateSynced
	})
	for _, typ := range []resource.Type{resource.Clusters, resource.Endpoints, resource.Listeners, resource.Routes} {
		if st := s.server.Connections()[0].Types[typ]; !st.SentAt.IsZero() {
			t.Errorf("%s was sent again", typ)
		}
	}
	s.set(s.state("b", 1)...)
	envoytest.Eventually(t, "an update after the restart arrives", from(s.Load, "b"))
	s.check(t)
}

func TestEnvoyRefusalIsolatesOneListener(t *testing.T) {
	s := serve(t)
	other := envoytest.FreePort(t)
	next := append(s.state("b", 1), xdstest.TwoChainsAlike(httpListener("bad", envoytest.FreePort(t), "bad")), httpListener("good", other, "good"), xdstest.Route("good", "b-1"))
	s.set(next...)
	envoytest.Eventually(t, "the rest of the response is in effect", from(s.Load, "b"))
	envoytest.Eventually(t, "a problem is reported", func() bool { return len(s.problems()) == 1 })
	if p := s.problems()[0]; p.Reason != model.ReasonRejected || !strings.Contains(p.Message, `"bad"`) {
		t.Errorf("got %v", p)
	}
	envoytest.Eventually(t, "the good listener is up, and the bad one with the first of its chains", func() bool {
		return s.Stat("listener_manager.total_listeners_active") == 3
	})
	envoytest.Eventually(t, "all that is left is acknowledged", func() bool {
		held := namesOf(slices.Collect(s.server.Connections()[0].Held()))
		return slices.Contains(held, "good") && slices.Contains(held, "bad")
	})
	s.unharmed(t)
}

func TestEnvoyRefusalIsolatesOneRoute(t *testing.T) {
	s := serve(t)
	second, third := envoytest.FreePort(t), envoytest.FreePort(t)
	base := append(s.state("a", 0), httpListener("bad", second, "x"), httpListener("good", third, "x"))
	s.set(append(base, xdstest.Route("bad", "a-0"), xdstest.Route("good", "a-0"))...)
	envoytest.Eventually(t, "three listeners are up", func() bool { return s.Stat("listener_manager.total_listeners_active") == 3 })
	broken := xdstest.Route("bad", "a-0")
	broken.Body.(*routev3.RouteConfiguration).VirtualHosts[0].Routes[0].Match = &routev3.RouteMatch{
		PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "("}},
	}
	good := xdstest.Route("good", "a-0")
	good.Body.(*routev3.RouteConfiguration).VirtualHosts[0].Name = "renamed"
	s.set(append(base, broken, good)...)
	envoytest.Eventually(t, "the good route is in effect", func() bool { return strings.Contains(s.Get("/config_dump?resource=dynamic_route_configs"), "renamed") })
	envoytest.Eventually(t, "a problem is reported", func() bool { return len(s.problems()) == 1 })
	envoytest.Eventually(t, "the refused route's former version serves", from(startLoad(t, second), "a"))
	s.Load.Stop()
}
