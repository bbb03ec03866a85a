package rules

import (
	"net/http"
	"slices"
	"strings"
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// ride takes what Envoy subscribes to of endpoints out of a request of its own, and puts it on the next
// answer to a response. Envoy itself does so when it may not send at once.
func ride() meddler {
	var names []string
	return func(x *message) envoytest.Verdict {
		if !request(resource.Endpoints)(x) {
			return envoytest.Pass
		}
		if x.Request.GetResponseNonce() == "" {
			names = append(names, x.Request.GetResourceNamesSubscribe()...)
			return envoytest.Drop
		}
		x.Request.ResourceNamesSubscribe = append(x.Request.ResourceNamesSubscribe, names...)
		names = nil
		return envoytest.Pass
	}
}

func TestRule1SubscriptionsRideOnAnswers(t *testing.T) {
	t.Parallel()
	for name, host := range map[string]string{"acknowledged": "127.0.0.1", "refused": "no address"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := warmed(t, one(1)...)
			m.meddling(ride())
			m.set(append(one(1), xdstest.Cluster("b", 1), xdstest.Assignment("b", 1))...)
			m.await("a subscription", request(resource.Endpoints))
			if !m.warming("b") {
				t.Fatal("the cluster is not warming, so that nothing is proved")
			}
			m.set(xdstest.Cluster("a", 1), xdstest.AssignmentAt("a", host, 2), xdstest.Cluster("b", 1), xdstest.Assignment("b", 1))
			m.await("the subscription rides", func(x *message) bool {
				return request(resource.Endpoints)(x) && x.Request.GetResponseNonce() != "" && slices.Contains(x.Request.GetResourceNamesSubscribe(), "b")
			})
			if refused := m.count(nack(resource.Endpoints)) > 0; refused != (name == "refused") {
				t.Errorf("refused: %v", refused)
			}
			m.eventually("the cluster is warm", func() bool { return m.active("b") })
		})
	}
	t.Run("without the rule", func(t *testing.T) {
		t.Parallel()
		m := warmed(t, one(1)...)
		m.meddling(drop(request(resource.Endpoints))) // the subscription and whatever it rides on
		m.set(append(one(1), xdstest.Cluster("b", 1), xdstest.Assignment("b", 1))...)
		m.await("a subscription", request(resource.Endpoints))
		m.barrier()
		if !m.warming("b") {
			t.Error("the cluster got warm")
		}
	})
}

func TestRule1OldNoncesAreAnswersToo(t *testing.T) {
	t.Parallel()
	m := warmed(t)
	m.meddling(drop(response(resource.Endpoints, "x")))
	first := []xdstest.Message{badCluster("bad"), xdstest.Cluster("x", 1), xdstest.Assignment("x", 1)}
	m.set(first...)
	m.await("endpoints, which are taken away so that the answer to the clusters waits", response(resource.Endpoints, "x"))
	m.barrier() // is a later response
	if m.count(nack(resource.Clusters)) != 0 {
		t.Fatal("the clusters are answered already, so that nothing is proved")
	}
	m.tell(m.first(response(resource.Endpoints)).Response)
	m.await("a refusal", nack(resource.Clusters))
	if got, old := m.first(nack(resource.Clusters)).Request.GetResponseNonce(), m.first(response(resource.Clusters)).Response.GetNonce(); got != old {
		t.Errorf("it is %s that is refused, not the older %s", got, old)
	}
	m.eventually("the refused cluster is reported", func() bool {
		all := m.reported()
		return len(all) == 1 && strings.Contains(all[0].Message, "bad")
	})
	m.eventually("the other one is warm", func() bool { return m.active("x") })
}

func TestRule2WhatIsAskedForAgainIsSentAgain(t *testing.T) {
	t.Parallel()
	port, other := envoytest.FreePort(t), envoytest.FreePort(t)
	a := envoytest.Backend(t, "a")
	rest := []xdstest.Message{xdstest.Cluster("a", 1), xdstest.Assignment("a", a), xdstest.Route("r", "a")}
	m := warmed(t, append(rest, listener("first", port, "r", "x"))...)
	forgotten := func(x *message) bool {
		return request(resource.Routes)(x) && slices.Contains(x.Request.GetResourceNamesUnsubscribe(), "r")
	}
	again := func(x *message) bool {
		return request(resource.Routes)(x) && slices.Contains(x.Request.GetResourceNamesSubscribe(), "r")
	}
	// Envoy forgets the routes and asks for them again in one request, where it may not send at once.
	m.meddling(drop(forgotten))
	m.set(rest...)
	m.await("the listener has drained and Envoy forgets its routes", forgotten)
	m.set(append(rest, listener("second", other, "r", "x"))...)
	m.await("Envoy asks again", again)
	load := startLoad(t, other)
	m.eventually("they are served", from(load, "a"))

	// Without the rule: the listener waits for good.
	m.meddling(drop(response(resource.Routes)))
	m.set(rest...)
	m.await("Envoy forgets", forgotten)
	m.set(append(rest, listener("third", port, "r", "x"))...)
	m.await("an answer", response(resource.Routes, "r"))
	m.barrier()
	if _, listeners := m.Warming(); listeners != 1 {
		t.Error("the listener got warm without routes")
	}
}

func TestRule2UnknownNamesAreAnswered(t *testing.T) {
	t.Parallel()
	port := envoytest.FreePort(t)
	unknown := []xdstest.Message{xdstest.Cluster("none", 1), listener("http", port, "none", "x")}
	m := warmed(t)
	m.set(unknown...)
	m.eventually("nothing waits for what nobody has", func() bool {
		clusters, listeners := m.Warming()
		return m.active("none") && m.Stat("listener_manager.total_listeners_active") == 1 && clusters == 0 && listeners == 0
	})

	// Without the rule: all of it waits for good.
	silent := warmed(t)
	silent.meddling(func(x *message) envoytest.Verdict {
		if response(resource.Endpoints)(x) || response(resource.Routes)(x) {
			return envoytest.Drop
		}
		return envoytest.Pass
	})
	silent.set(unknown...)
	silent.await("endpoints", response(resource.Endpoints, "none"))
	silent.await("routes", response(resource.Routes, "none"))
	silent.barrier()
	if clusters, listeners := silent.Warming(); clusters != 1 || listeners != 1 {
		t.Errorf("%d clusters and %d listeners are warming", clusters, listeners)
	}
}

func TestRule2EndpointsAreNeverRemoved(t *testing.T) {
	t.Parallel()
	port := envoytest.FreePort(t)
	state := web(port, "a", envoytest.Backend(t, "a"))
	m := warmed(t, state...)
	load := startLoad(t, port)
	m.set(state[0], state[2]) // endpoints and routes are gone
	m.barrier()
	if m.count(response(resource.Endpoints))+m.count(response(resource.Routes)) != 0 {
		t.Error("something was sent")
	}
	unfailing(t, load)

	// Without the rule: a removal ends warming as endpoints do, and the cluster has no hosts.
	m.set(state...)
	m.barrier()
	m.meddling(drop(response(resource.Endpoints)))
	changed := slices.Clone(state)
	changed[0] = xdstest.Cluster("a", 2)
	m.set(changed...)
	m.await("endpoints", response(resource.Endpoints))
	m.tell(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: resource.Endpoints.URL(), Nonce: "removal", RemovedResources: []string{"a"}})
	late := startLoad(t, port)
	m.eventually("requests fail", func() bool { _, failed, _ := late.Result(); return failed > 0 })
}

// Envoy asks for a cluster by name beside the wildcard where a request comes before its cluster. It
// does not unsubscribe, as of 1.40, so that the gate does it in its stead.
func TestRule11AfterAnUnsubscribeUnderAWildcard(t *testing.T) {
	t.Parallel()
	port, other := envoytest.FreePort(t), envoytest.FreePort(t)
	front := web(port, "b", envoytest.Backend(t, "b"))
	demand := []xdstest.Message{demandListener("demand", other, "d"), headerRoute("d")}
	m := warmed(t, demand...)
	r, err := http.NewRequest(http.MethodGet, url(other), nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(clusterHeader, "b")
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	subscribed := func(x *message) bool {
		return request(resource.Clusters)(x) && slices.Contains(x.Request.GetResourceNamesSubscribe(), "b")
	}
	if res.StatusCode != http.StatusServiceUnavailable || !m.before(subscribed, func(x *message) bool {
		return response(resource.Clusters)(x) && slices.Contains(x.Response.GetRemovedResources(), "b")
	}) {
		t.Errorf("status %d, and not a removal for an unknown name", res.StatusCode)
	}
	m.set(append(front, demand...)...)
	m.eventually("the listener is there", serving(port))
	load := startLoad(t, port)
	m.eventually("the cluster comes by the wildcard", from(load, "b"))

	m.meddling(nil)
	m.ask(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.Clusters.URL(), ResourceNamesUnsubscribe: []string{"b"}})
	m.await("it is told what is true by the wildcard", response(resource.Clusters, "b"))
	m.barrier()
	unfailing(t, load)

	// Without the rule: what is still wanted by the wildcard goes with its name.
	m.tell(&discoveryv3.DeltaDiscoveryResponse{TypeUrl: resource.Clusters.URL(), Nonce: "removal", RemovedResources: []string{"b"}})
	late := startLoad(t, port)
	m.eventually("requests fail", func() bool { _, failed, _ := late.Result(); return failed > 0 })
}
