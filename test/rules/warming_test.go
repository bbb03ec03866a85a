package rules

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// one is a mesh of one cluster in some version, and its endpoints.
func one(seconds int) []push.Message {
	return []push.Message{xdstest.Cluster("a", seconds), xdstest.Assignment("a", 1)}
}

// warmed starts an Envoy that runs a mesh, with its clusters warm.
func warmed(t *testing.T, messages ...push.Message) *mesh {
	t.Helper()
	m := newMesh(t, nil, messages...)
	m.eventually("Envoy runs the first state", func() bool {
		clusters, listeners := m.Warming()
		return m.Live() && clusters == 0 && listeners == 0
	})
	m.barrier()
	m.meddling(nil)
	return m
}

func TestRule3EndpointsFollowTheirCluster(t *testing.T) {
	t.Parallel()
	state := func(seconds int) []push.Message {
		return append(one(seconds), xdstest.Cluster("b", 1), xdstest.Assignment("b", 1))
	}
	m := warmed(t, state(1)...)
	m.set(state(2)...)
	m.await("the change is acknowledged, which is when the cluster is warm", ack(push.Clusters))
	m.barrier()
	if n := m.count(response(push.Endpoints)); n != 1 || m.count(response(push.Endpoints, "b")) != 0 {
		t.Error("it was not the endpoints of the changed cluster alone that followed")
	}

	// Without the rule: Envoy does not ask, and waits for good.
	m.meddling(drop(response(push.Endpoints)))
	m.set(state(3)...)
	m.await("endpoints", response(push.Endpoints, "a"))
	m.barrier()
	if !m.warming("a") || m.count(ack(push.Clusters)) != 0 {
		t.Error("a cluster got warm without its endpoints")
	}
}

func TestRule4EndpointsAreSentInFullAfterABreakThatLeftAClusterWarming(t *testing.T) {
	t.Parallel()
	m := warmed(t, one(1)...)
	broken := func(x *message) bool { // a new stream's first request for endpoints
		return request(push.Endpoints)(x) && len(x.Request.GetInitialResourceVersions()) > 0
	}
	m.meddling(once(envoytest.Cut, response(push.Endpoints)))
	m.set(one(2)...)
	m.await("Envoy is back and claims endpoints", broken)
	if !m.before(broken, func(x *message) bool {
		return request(push.Clusters)(x) && x.Request.GetInitialResourceVersions() != nil
	}) {
		t.Error("it asked for clusters first, so that nothing is proved")
	}
	m.await("the cluster is warm", ack(push.Clusters))

	// Without the rule: Envoy claims what the new cluster never got, is believed, and waits for good.
	cut := once(envoytest.Cut, response(push.Endpoints))
	m.meddling(func(x *message) envoytest.Verdict {
		if v := cut(x); v == envoytest.Cut || !response(push.Endpoints)(x) {
			return v
		}
		return envoytest.Drop
	})
	m.set(one(3)...)
	m.await("Envoy is back and claims endpoints", broken)
	m.eventually("the answer is taken away", func() bool { return m.count(response(push.Endpoints)) == 2 })
	if !m.warming("a") || m.count(ack(push.Clusters)) != 0 {
		t.Error("a cluster got warm without its endpoints")
	}
}

func TestRule4ClaimsCountAfterACleanBreak(t *testing.T) {
	t.Parallel()
	m := warmed(t, one(1)...)
	m.meddling(once(envoytest.PassAndCut, response(push.Clusters)))
	m.set(append(one(1), markerCluster("m"))...)
	m.await("Envoy is back", func(x *message) bool {
		return request(push.Endpoints)(x) && len(x.Request.GetInitialResourceVersions()) > 0
	})
	m.barrier()
	if n := m.count(response(push.Endpoints)); n != 0 || m.count(response(push.Clusters, "a")) != 0 {
		t.Error("what Envoy has was sent again")
	}
	if clusters, listeners := m.Warming(); clusters != 0 || listeners != 0 {
		t.Errorf("%d clusters and %d listeners are warming", clusters, listeners)
	}
}

func TestRule5EndpointsDoNotWaitForTheAcknowledgementOfClusters(t *testing.T) {
	t.Parallel()
	m := warmed(t, one(1)...)
	m.set(one(2)...)
	m.await("an acknowledgement", ack(push.Clusters))
	if !m.before(response(push.Endpoints, "a"), ack(push.Clusters)) {
		t.Error("clusters are acknowledged before they are warm")
	}

	// Without the rule: either waits for the other.
	m.meddling(drop(response(push.Endpoints)))
	m.set(one(3)...)
	m.await("endpoints", response(push.Endpoints, "a"))
	m.barrier()
	if m.count(ack(push.Clusters)) != 0 {
		t.Error("clusters are acknowledged before they are warm")
	}
	m.tell(m.first(response(push.Endpoints)).Response)
	m.await("once they come, the acknowledgement", ack(push.Clusters))
}

func TestRule5RoutesWaitForNewClusters(t *testing.T) {
	t.Parallel()
	port := envoytest.FreePort(t)
	a, b := envoytest.Backend(t, "a"), envoytest.Backend(t, "b")
	state := func(to string) []push.Message {
		return []push.Message{
			xdstest.Cluster("a", 1), xdstest.Assignment("a", a), listener("http", port, "r", "x"), xdstest.Route("r", to),
		}
	}
	m := warmed(t, state("a")...)
	load := startLoad(t, port)
	m.set(append(state("b"), xdstest.Cluster("b", 1), xdstest.Assignment("b", b))...)
	m.eventually("traffic moves", from(load, "b"))
	if !m.before(ack(push.Clusters), response(push.Routes)) {
		t.Error("the route came before its cluster was warm")
	}
	unfailing(t, load)

	// A cluster that does not get warm holds routes up for a bounded time only.
	m.meddling(drop(response(push.Endpoints)))
	m.set(append(state("c"), xdstest.Cluster("b", 1), xdstest.Cluster("c", 1), xdstest.Assignment("c", b))...)
	m.await("the route comes all the same", response(push.Routes))
	if !m.warming("c") {
		t.Error("the cluster is not warming, so that nothing is proved")
	}
	// Without the rule, then: a route to a cluster that is warming.
	late := startLoad(t, port)
	m.eventually("requests fail", func() bool { _, failed, _ := late.Result(); return failed > 0 })
}

func TestRule5AListenerIsAcknowledgedBeforeItIsWarm(t *testing.T) {
	t.Parallel()
	port := envoytest.FreePort(t)
	a := envoytest.Backend(t, "a")
	state := func(routes string) []push.Message {
		return []push.Message{xdstest.Cluster("a", 1), xdstest.Assignment("a", a), listener("http", port, routes, "x"), xdstest.Route(routes, "a")}
	}
	m := warmed(t, state("r")...)
	load := startLoad(t, port)
	m.meddling(drop(response(push.Routes)))
	m.set(state("s")...)
	m.await("an acknowledgement", ack(push.Listeners))
	m.await("routes", response(push.Routes, "s"))
	if _, listeners := m.Warming(); listeners != 1 {
		t.Errorf("%d listeners are warming", listeners)
	}
	m.tell(m.first(response(push.Routes)).Response)
	m.eventually("the listener is warm", func() bool { _, listeners := m.Warming(); return listeners == 0 })
	unfailing(t, load)
}

func TestRule10EndpointsThatAreForgottenHealByEnvoysTimeLimit(t *testing.T) {
	t.Parallel()
	product := translated(t, `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: ns}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}`)
	m := warmed(t)
	m.meddling(drop(response(push.Endpoints)))
	m.set(append(product, xdstest.Cluster("zero", 1), xdstest.Assignment("zero", 1))...)
	const name = "outbound|80||web.ns.svc.cluster.local"
	m.await("endpoints", response(push.Endpoints, name))
	if !m.warming(name) || !m.warming("zero") {
		t.Fatal("the clusters are not warming, so that nothing is proved")
	}
	m.eventually("the product's cluster is warm", func() bool { return !m.warming(name) })
	if !m.warming("zero") { // without the rule
		t.Error("a cluster without a time limit got warm without its endpoints")
	}
}
