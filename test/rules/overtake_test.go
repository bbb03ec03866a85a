package rules

import (
	"slices"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// What test/fleet found: requests failed while a route led to a cluster that had no hosts yet, or
// none any more.

func TestRule7RoutesDoNotOvertakeEndpoints(t *testing.T) {
	t.Parallel()
	a, other, b := envoytest.Backend(t, "a"), envoytest.Backend(t, "a"), envoytest.Backend(t, "b")
	state := func(port int, a uint32, to string, more ...xdstest.Message) []xdstest.Message {
		return append([]xdstest.Message{
			xdstest.Cluster("a", 1), xdstest.Cluster("b", 1), xdstest.Assignment("a", a), listener("http", port, "r", "x"), xdstest.Route("r", to),
		}, more...)
	}
	port := envoytest.FreePort(t)
	m := warmed(t, state(port, a, "a")...) // b has no hosts
	load := startLoad(t, port)
	m.meddling(drop(ack(resource.Endpoints)))
	m.set(state(port, other, "a")...)
	m.await("an acknowledgement, which is taken away, so that no endpoints may be sent", ack(resource.Endpoints))
	m.set(state(port, other, "b", xdstest.Assignment("b", b))...)
	m.barrier()
	if m.count(response(resource.Routes)) != 0 {
		t.Error("the route came before the hosts that it leads to")
	}
	held := m.first(ack(resource.Endpoints)).Request
	m.meddling(nil)
	m.ask(held)
	m.eventually("traffic moves", from(load, "b"))
	if !m.before(response(resource.Endpoints, "b"), response(resource.Routes)) {
		t.Error("the route came before the hosts that it leads to")
	}
	unfailing(t, load)

	// Without the rule.
	port = envoytest.FreePort(t)
	overtaken := warmed(t, state(port, a, "a")...)
	load = startLoad(t, port)
	overtaken.meddling(drop(response(resource.Endpoints)))
	overtaken.set(state(port, a, "b", xdstest.Assignment("b", b))...)
	overtaken.await("the route", response(resource.Routes))
	overtaken.eventually("requests fail", func() bool { _, failed, _ := load.Result(); return failed > 0 })
}

func TestRule2AClusterThatLeavesKeepsItsHosts(t *testing.T) {
	t.Parallel()
	// scene has routes lead to a cluster that is gone, through two breaks; after the first Envoy claims
	// no endpoints of it any more.
	scene := func(t *testing.T, answer func(*message)) (*mesh, *envoytest.Load) {
		port, backend := envoytest.FreePort(t), envoytest.Backend(t, "new")
		m := warmed(t, append(web(port, "old", envoytest.Backend(t, "old")), xdstest.Cluster("new", 2), xdstest.Assignment("new", 1))...)
		load := startLoad(t, port)
		unclaimed := func(x *message) bool {
			return request(resource.Endpoints)(x) && slices.Contains(x.Request.GetResourceNamesSubscribe(), "old") &&
				x.Request.GetInitialResourceVersions()["old"] == "" && len(x.Request.GetInitialResourceVersions()) > 0
		}
		first, second, back := once(envoytest.Cut, response(resource.Endpoints)), once(envoytest.PassAndCut, response(resource.Clusters, "marker-9")), false
		m.meddling(func(x *message) envoytest.Verdict {
			back = back || unclaimed(x)
			switch {
			case response(resource.Routes)(x):
				return envoytest.Drop // so that they go on leading to what is gone
			case back && response(resource.Endpoints)(x):
				answer(x)
			}
			return max(first(x), second(x))
		})
		next := web(port, "new", backend)
		m.set(next...)
		m.await("Envoy is told that there are no endpoints", func(x *message) bool {
			return response(resource.Endpoints)(x) && slices.Contains(x.Response.GetRemovedResources(), "old")
		})
		m.eventually("the new cluster is warm", func() bool { return m.active("new") })
		m.set(append(next, markerCluster("marker-9"))...)
		m.await("Envoy comes back a second time", unclaimed)
		m.barrier()
		return m, load
	}
	t.Run("kept", func(t *testing.T) {
		t.Parallel()
		_, load := scene(t, func(*message) {})
		unfailing(t, load)
		if load.Last().Body != "old" {
			t.Error("the routes have moved, so that nothing is proved")
		}
	})
	t.Run("without the rule", func(t *testing.T) {
		t.Parallel()
		m, load := scene(t, func(x *message) {
			x.Response.RemovedResources = nil
			empty, _ := resource.Endpoints.Empty("old")
			x.Response.Resources = append(x.Response.Resources, &discoveryv3.Resource{Name: "old", Version: "1", Resource: empty.Any()})
		})
		m.eventually("requests fail", func() bool { _, failed, _ := load.Result(); return failed > 0 })
	})
}
