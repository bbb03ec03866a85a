package rules

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// web is a mesh in which a port leads to a cluster.
func web(port int, to string, backend uint32) []xdstest.Message {
	return []xdstest.Message{xdstest.Cluster(to, 1), xdstest.Assignment(to, backend), listener("http", port, "r", "x"), xdstest.Route("r", to)}
}

func TestRule6AnEmptyFirstAnswerIsGiven(t *testing.T) {
	t.Parallel()
	m := newMesh(t, nil)
	m.eventually("Envoy is live", m.Live)
	if m.count(response(resource.Clusters)) != 1 || m.count(response(resource.Listeners)) != 1 {
		t.Error("not one answer for each")
	}

	// Without the rule: Envoy does not get to the next stage.
	silent := newMesh(t, drop(response(resource.Clusters)))
	silent.await("an empty answer", response(resource.Clusters))
	silent.eventually("Envoy waits", func() bool { return strings.Contains(silent.Get("/server_info"), `"PRE_INITIALIZING"`) })
	if silent.Live() || silent.count(request(resource.Listeners)) != 0 {
		t.Error("Envoy goes on without an answer")
	}
	silent.tell(silent.first(response(resource.Clusters)).Response)
	silent.eventually("once it comes, Envoy is live", silent.Live)
}

func TestRule6TheFirstAnswerIsNotSplit(t *testing.T) {
	t.Parallel()
	var all []xdstest.Message
	for i := range 300 { // of a kilobyte each
		name := fmt.Sprintf("%s-%d", strings.Repeat("x", 1000), i)
		all = append(all, xdstest.Cluster(name, 1), xdstest.Assignment(name, 1))
	}
	m := newMesh(t, nil, all...)
	m.eventually("Envoy is live", m.Live)
	if m.count(response(resource.Clusters)) != 1 || m.count(response(resource.Endpoints)) < 2 {
		t.Error("not one answer for clusters, and endpoints in parts")
	}
	if !m.before(response(resource.Endpoints), request(resource.Listeners)) {
		t.Error("listeners are asked for before the endpoints have come")
	}

	// Without the rule: the next stage starts after the first part.
	port := envoytest.FreePort(t)
	var rest []*discoveryv3.Resource
	s := newMesh(t, func(x *message) envoytest.Verdict {
		if response(resource.Clusters)(x) && rest == nil {
			rest, x.Response.Resources = x.Response.Resources, nil
		}
		return envoytest.Pass
	}, web(port, "a", envoytest.Backend(t, "a"))...)
	s.eventually("Envoy is live", s.Live)
	load := startLoad(t, port)
	s.eventually("requests fail", func() bool { _, failed, _ := load.Result(); return failed > 0 })
	s.tell(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: resource.Clusters.URL(), Nonce: "rest", Resources: rest})
	s.eventually("until the rest has come", from(load, "a"))
}

func TestRule7NothingPointsAtWhatIsNotThere(t *testing.T) {
	t.Parallel()
	port := envoytest.FreePort(t)
	backends := map[string]uint32{"a": envoytest.Backend(t, "a"), "b": envoytest.Backend(t, "b")}
	m := warmed(t, web(port, "a-0", backends["a"])...)
	load := startLoad(t, port)
	for i, backend := range []string{"b", "a", "b"} {
		former, now := m.messages[0].Name, fmt.Sprintf("%s-%d", backend, i+1)
		m.meddling(nil)
		m.set(web(port, now, backends[backend])...)
		m.eventually("traffic moves", from(load, backend))
		removed := func(x *message) bool {
			return response(resource.Clusters)(x) && slices.Contains(x.Response.GetRemovedResources(), former)
		}
		m.await("the former cluster goes", removed)
		if m.first(removed).Response.GetResources() != nil || !m.before(ack(resource.Routes), removed) {
			t.Error("it does not go last and alone")
		}
	}
	unfailing(t, load)

	// Without the rule: the removal comes together with the addition.
	m.meddling(func(x *message) envoytest.Verdict {
		if response(resource.Clusters, "c")(x) {
			x.Response.RemovedResources = []string{"b-3"}
		}
		return drop(response(resource.Routes))(x)
	})
	late := startLoad(t, port)
	m.set(web(port, "c", backends["a"])...)
	m.eventually("requests fail", func() bool { _, failed, _ := late.Result(); return failed > 0 })
}

func TestRule8AListenerUpdateNeedsNoRoutes(t *testing.T) {
	t.Parallel()
	port := envoytest.FreePort(t)
	state := web(port, "a", envoytest.Backend(t, "a"))
	m := warmed(t, state...)
	load := startLoad(t, port)
	changed := slices.Clone(state)
	changed[2] = listener("http", port, "r", "changed")
	m.set(changed...)
	m.eventually("requests go through the changed listener", func() bool { return m.Stat("http.changed.downstream_rq_2xx") > 0 })
	m.barrier()
	if n := m.count(response(resource.Routes)); n != 0 {
		t.Errorf("routes were sent %d times", n)
	}
	if _, listeners := m.Warming(); listeners != 0 {
		t.Error("the listener is warming")
	}
	unfailing(t, load)
}
