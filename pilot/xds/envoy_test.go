package xds

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// serving is a mesh in which an Envoy's port leads to one of two backends.
type serving struct {
	*plane
	*envoy
	*traffic
	port  int
	ports map[string]uint32
}

// state is all messages that lead the port to a cluster of a version.
func (s *serving) state(name string, version int) []push.Message {
	cluster := fmt.Sprintf("%s-%d", name, version)
	return []push.Message{
		edsCluster(cluster, 1+version), assignment(cluster, s.ports[name]),
		httpListener("http", s.port, "http"), routeTo("http", cluster),
	}
}

func serve(t *testing.T) *serving {
	t.Helper()
	s := &serving{port: envoytest.FreePort(t), ports: map[string]uint32{"a": backend(t, "a"), "b": backend(t, "b")}}
	s.plane = newPlane(t, s.state("a", 0)...)
	s.envoy = startEnvoy(t, s.addr)
	eventually(t, "the listener is up", func() bool {
		return s.stat("listener_manager.total_listeners_active") == 1 && s.stat("cluster_manager.warming_clusters") == 0
	})
	s.traffic = startTraffic(t, s.port)
	eventually(t, "traffic reaches a", s.from("a"))
	return s
}

// check asserts that nothing failed, was refused or is stuck.
func (s *serving) check(t *testing.T) {
	t.Helper()
	eventually(t, "nothing is warming", func() bool {
		return s.stat("cluster_manager.warming_clusters") == 0 && s.stat("listener_manager.total_listeners_warming") == 0
	})
	for _, name := range []string{"cluster_manager.cds.update_rejected", "listener_manager.lds.update_rejected"} {
		if n := s.stat(name); n != 0 {
			t.Errorf("%s: %d", name, n)
		}
	}
	s.traffic.stop()
	if n := s.failed.Load(); n != 0 {
		t.Errorf("%d of %d requests failed, the last with %v", n, s.total.Load(), s.why.Load())
	}
}

func TestEnvoyMakeBeforeBreak(t *testing.T) {
	s := serve(t)
	for i := range 6 {
		name := []string{"b", "a"}[i%2]
		s.set(s.state(name, i)...)
		eventually(t, "traffic moves to "+name, s.from(name))
	}
	eventually(t, "only the last cluster is left", func() bool {
		return s.stat("cluster_manager.active_clusters") == 2 // and that of the control plane
	})
	s.check(t)
}

func TestEnvoyNeverStuckAfterABreakAtAnyStage(t *testing.T) {
	s := serve(t)
	version := 0
	for _, stage := range []push.Type{push.Clusters, push.Endpoints, push.Listeners, push.Routes} {
		version++
		before := s.cuts.Load()
		s.cut(stage)
		next := s.state("b", version)
		next[2] = httpListener("http", s.port, fmt.Sprintf("http%d", version))
		s.set(next...)
		eventually(t, "the stream is cut at "+stage.String(), func() bool { return s.cuts.Load() > before })
		eventually(t, "the new cluster is in use after a cut at "+stage.String(), func() bool {
			return s.stat(fmt.Sprintf("cluster.b-%d.upstream_rq_total", version)) > 0
		})
	}
	// An update of a cluster in use, its load assignment unchanged, cut between the two.
	s.cut(push.Endpoints)
	next := s.state("b", version)
	next[0] = edsCluster(fmt.Sprintf("b-%d", version), 77)
	before := s.cuts.Load()
	s.set(next...)
	eventually(t, "the stream is cut before endpoints", func() bool { return s.cuts.Load() > before })
	eventually(t, "the cluster is updated", func() bool { return strings.Contains(s.get("/config_dump?resource=dynamic_active_clusters"), `"77s"`) })
	s.check(t)
}

func TestEnvoyKeepsWhatItHasOverARestart(t *testing.T) {
	s := serve(t)
	s.plane.stop()
	s.plane.start()
	eventually(t, "Envoy is back with all types", func() bool {
		all := s.server.Connections()
		return len(all) == 1 && all[0].Types[push.Routes].State == StateSynced && all[0].Types[push.Endpoints].State == StateSynced
	})
	for _, typ := range []push.Type{push.Clusters, push.Endpoints, push.Listeners, push.Routes} {
		if st := s.server.Connections()[0].Types[typ]; !st.SentAt.IsZero() {
			t.Errorf("%s was sent again", typ)
		}
	}
	s.set(s.state("b", 1)...)
	eventually(t, "an update after the restart arrives", s.from("b"))
	s.check(t)
}

func TestEnvoyRefusalIsolatesOneListener(t *testing.T) {
	s := serve(t)
	bad := func(name string, port int) push.Message { // two chains that match the same
		m := httpListener(name, port, "bad")
		l := m.Body.(*listenerv3.Listener)
		l.FilterChains = append(l.FilterChains, proto.Clone(l.FilterChains[0]).(*listenerv3.FilterChain))
		return m
	}
	other := envoytest.FreePort(t)
	next := append(s.state("b", 1), bad("bad", envoytest.FreePort(t)), httpListener("good", other, "good"), routeTo("good", "b-1"))
	s.set(next...)
	eventually(t, "the rest of the response is in effect", s.from("b"))
	eventually(t, "a problem is reported", func() bool { return len(s.problems()) == 1 })
	if p := s.problems()[0]; p.Reason != model.ReasonRejected || !strings.Contains(p.Message, `"bad"`) {
		t.Errorf("got %v", p)
	}
	eventually(t, "the good listener is up", func() bool { return s.stat("listener_manager.total_listeners_active") == 2 })
	eventually(t, "the good part is acknowledged", func() bool {
		held := namesOf(slices.Collect(s.server.Connections()[0].Held()))
		return slices.Contains(held, "good") && !slices.Contains(held, "bad")
	})
	s.traffic.stop()
	if n := s.failed.Load(); n != 0 {
		t.Errorf("%d requests failed: %v", n, s.why.Load())
	}
}

func TestEnvoyRefusalIsolatesOneRoute(t *testing.T) {
	s := serve(t)
	second, third := envoytest.FreePort(t), envoytest.FreePort(t)
	base := append(s.state("a", 0), httpListener("bad", second, "x"), httpListener("good", third, "x"))
	s.set(append(base, routeTo("bad", "a-0"), routeTo("good", "a-0"))...)
	eventually(t, "three listeners are up", func() bool { return s.stat("listener_manager.total_listeners_active") == 3 })
	broken := routeTo("bad", "a-0")
	broken.Body.(*routev3.RouteConfiguration).VirtualHosts[0].Routes[0].Match = &routev3.RouteMatch{
		PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "("}},
	}
	good := routeTo("good", "a-0")
	good.Body.(*routev3.RouteConfiguration).VirtualHosts[0].Name = "renamed"
	began := time.Now()
	s.set(append(base, broken, good)...)
	eventually(t, "the good route is in effect", func() bool { return strings.Contains(s.get("/config_dump?resource=dynamic_route_configs"), "renamed") })
	eventually(t, "a problem is reported", func() bool { return len(s.problems()) == 1 })
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("isolating took %v", took)
	}
	eventually(t, "the refused route's former version serves", startTraffic(t, second).from("a"))
	s.traffic.stop()
}
