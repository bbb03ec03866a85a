package rules

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// one is a mesh of one cluster in some version, and its endpoints.
func one(seconds int) []xdstest.Message {
	return []xdstest.Message{xdstest.Cluster("a", seconds), xdstest.Assignment("a", 1)}
}

// warmed starts an Envoy that runs a mesh, with its clusters warm.
func warmed(t *testing.T, messages ...xdstest.Message) *mesh {
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
	state := func(seconds int) []xdstest.Message {
		return append(one(seconds), xdstest.Cluster("b", 1), xdstest.Assignment("b", 1))
	}
	m := warmed(t, state(1)...)
	m.set(state(2)...)
	m.await("the change is acknowledged, which is when the cluster is warm", ack(resource.Clusters))
	m.barrier()
	if n := m.count(response(resource.Endpoints)); n != 1 || m.count(response(resource.Endpoints, "b")) != 0 {
		t.Error("it was not the endpoints of the changed cluster alone that followed")
	}

	// Without the rule: Envoy does not ask, and waits for good.
	m.meddling(drop(response(resource.Endpoints)))
	m.set(state(3)...)
	m.await("endpoints", response(resource.Endpoints, "a"))
	m.barrier()
	if !m.warming("a") || m.count(ack(resource.Clusters)) != 0 {
		t.Error("a cluster got warm without its endpoints")
	}
}

func TestRule4EndpointsAreSentInFullAfterABreakThatLeftAClusterWarming(t *testing.T) {
	t.Parallel()
	m := warmed(t, one(1)...)
	broken := func(x *message) bool { // a new stream's first request for endpoints
		return request(resource.Endpoints)(x) && len(x.Request.GetInitialResourceVersions()) > 0
	}
	m.meddling(once(envoytest.Cut, response(resource.Endpoints)))
	m.set(one(2)...)
	m.await("Envoy is back and claims endpoints", broken)
	if !m.before(broken, func(x *message) bool {
		return request(resource.Clusters)(x) && x.Request.GetInitialResourceVersions() != nil
	}) {
		t.Error("it asked for clusters first, so that nothing is proved")
	}
	m.await("the cluster is warm", ack(resource.Clusters))

	// Without the rule: Envoy claims what the new cluster never got, is believed, and waits for good.
	cut := once(envoytest.Cut, response(resource.Endpoints))
	m.meddling(func(x *message) envoytest.Verdict {
		if v := cut(x); v == envoytest.Cut || !response(resource.Endpoints)(x) {
			return v
		}
		return envoytest.Drop
	})
	m.set(one(3)...)
	m.await("Envoy is back and claims endpoints", broken)
	m.eventually("the answer is taken away", func() bool { return m.count(response(resource.Endpoints)) == 2 })
	if !m.warming("a") || m.count(ack(resource.Clusters)) != 0 {
		t.Error("a cluster got warm without its endpoints")
	}
}

func TestRule4ClaimsCountAfterACleanBreak(t *testing.T) {
	t.Parallel()
	m := warmed(t, one(1)...)
	m.meddling(once(envoytest.PassAndCut, response(resource.Clusters)))
	m.set(append(one(1), markerCluster("m"))...)
	m.await("Envoy is back", func(x *message) bool {
		return request(resource.Endpoints)(x) && len(x.Request.GetInitialResourceVersions()) > 0
	})
	m.barrier()
	if n := m.count(response(resource.Endpoints)); n != 0 || m.count(response(resource.Clusters, "a")) != 0 {
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
	m.await("an acknowledgement", ack(resource.Clusters))
	if !m.before(response(resource.Endpoints, "a"), ack(resource.Clusters)) {
		t.Error("clusters are acknowledged before they are warm")
	}

	// Without the rule: either waits for the other.
	m.meddling(drop(response(resource.Endpoints)))
	m.set(one(3)...)
	m.await("endpoints", response(resource.Endpoints, "a"))
	m.barrier()
	if m.count(ack(resource.Clusters)) != 0 {
		t.Error("clusters are acknowledged before they are warm")
	}
	m.tell(m.first(response(resource.Endpoints)).Response)
	m.await("once they come, the acknowledgement", ack(resource.Clusters))
}

func TestRule5RoutesWaitForNewClusters(t *testing.T) {
	t.Parallel()
	port := envoytest.FreePort(t)
	a, b := envoytest.Backend(t, "a"), envoytest.Backend(t, "b")
	state := func(to string) []xdstest.Message {
		return []xdstest.Message{
			xdstest.Cluster("a", 1), xdstest.Assignment("a", a), listener("http", port, "r", "x"), xdstest.Route("r", to),
		}
	}
	m := warmed(t, state("a")...)
	load := startLoad(t, port)
	m.set(append(state("b"), xdstest.Cluster("b", 1), xdstest.Assignment("b", b))...)
	m.eventually("traffic moves", from(load, "b"))
	if !m.before(ack(resource.Clusters), response(resource.Routes)) {
		t.Error("the route came before its cluster was warm")
	}
	unfailing(t, load)

	// A cluster that does not get warm holds routes up for a bounded time only.
	m.meddling(drop(response(resource.Endpoints)))
	m.set(append(state("c"), xdstest.Cluster("b", 1), xdstest.Cluster("c", 1), xdstest.Assignment("c", b))...)
	m.await("the route comes all the same", response(resource.Routes))
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
	state := func(routes string) []xdstest.Message {
		return []xdstest.Message{xdstest.Cluster("a", 1), xdstest.Assignment("a", a), listener("http", port, routes, "x"), xdstest.Route(routes, "a")}
	}
	m := warmed(t, state("r")...)
	load := startLoad(t, port)
	m.meddling(drop(response(resource.Routes)))
	m.set(state("s")...)
	m.await("an acknowledgement", ack(resource.Listeners))
	m.await("routes", response(resource.Routes, "s"))
	if _, listeners := m.Warming(); listeners != 1 {
		t.Errorf("%d listeners are warming", listeners)
	}
	m.tell(m.first(response(resource.Routes)).Response)
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
	m.meddling(drop(response(resource.Endpoints)))
	m.set(append(product, xdstest.Cluster("zero", 1), xdstest.Assignment("zero", 1))...)
	const name = "outbound|80||web.ns.svc.cluster.local"
	m.await("endpoints", response(resource.Endpoints, name))
	if !m.warming(name) || !m.warming("zero") {
		t.Fatal("the clusters are not warming, so that nothing is proved")
	}
	m.eventually("the product's cluster is warm", func() bool { return !m.warming(name) })
	if !m.warming("zero") { // without the rule
		t.Error("a cluster without a time limit got warm without its endpoints")
	}
}
