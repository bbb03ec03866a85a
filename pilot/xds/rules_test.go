package xds

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// The numbers are those of the protocol rules in the project's reference on Envoy.

func TestRule1SubscriptionsRideOnAcknowledgements(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, xdstest.Assignment("a", 1), xdstest.Assignment("b", 2))
		c := m.connect(false, 10)
		defer m.stop(c)
		c.subscribe(resource.Endpoints, "a")
		r := c.expect(resource.Endpoints, "a")
		c.ask(resource.Endpoints, query{nonce: nonceOf(r), refused: true, detail: "no", subscribe: []string{"b"}})
		c.expect(resource.Endpoints, "b") // by its rejection it has stopped to wait for a
	})
}

func TestRule1OldNoncesAreAcknowledgedAfterNewerOnes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1))
		c := m.connect(false, 10)
		defer m.stop(c)
		c.subscribe(resource.Listeners)
		c.ack(c.expect(resource.Listeners))
		c.subscribe(resource.Clusters)
		first := c.expect(resource.Clusters, "a")
		m.set(cluster("a", 2))
		second := c.expect(resource.Clusters, "a") // sent although the first is not acknowledged
		c.ack(first)
		c.nack(second, "Error adding/updating cluster(s) a: bad")
		c.ack(c.expect(resource.Clusters, "a")) // the client runs the first, which it accepted, but may have the second beside it
		c.silent()
		if now := m.server.Connections()[0].View.Set(resource.Clusters).Get("a"); now != first.all()[0] {
			t.Error("the class does not go back to the accepted version")
		}
	})
}

func TestRule2AskedAgainIsAnsweredInFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, xdstest.Assignment("a", 1), route("80", "x"))
		c := m.connect(false, 10)
		defer m.stop(c)
		c.subscribe(resource.Clusters)
		c.ack(c.expect(resource.Clusters))
		c.subscribe(resource.Endpoints, "a", "gone")
		r := c.expect(resource.Endpoints, "a", "gone")
		msg, err := r.all()[1].Message()
		if err != nil || len(msg.(*endpointv3.ClusterLoadAssignment).GetEndpoints()) != 0 {
			t.Errorf("an unknown name is not answered by an empty assignment: %v %v", msg, err)
		}
		c.ack(r)
		c.silent()
		c.subscribe(resource.Endpoints, "a")
		c.ack(c.expect(resource.Endpoints, "a"))
		c.subscribe(resource.Routes, "80", "81")
		c.ack(c.expect(resource.Routes, "80", "81"))
		m.set() // all is gone: neither endpoints nor routes are removed
		c.silent()
	})
}

func TestRule3EverySentClusterIsFollowedByItsEndpoints(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1), cluster("b", 1), xdstest.Assignment("a", 1), xdstest.Assignment("b", 1))
		c := m.start([]string{"a", "b"}, nil)
		defer m.stop(c)
		m.set(cluster("a", 2), cluster("b", 1), xdstest.Assignment("a", 1), xdstest.Assignment("b", 1))
		c.expect(resource.Clusters, "a")
		c.expect(resource.Endpoints, "a") // unchanged, before the acknowledgement of CDS, and a alone
	})
}

func TestRule3EndpointsAreOwedToAClientThatAsksForThemLater(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := []xdstest.Message{cluster("a", 2), cluster("b", 1), xdstest.Assignment("a", 1), xdstest.Assignment("b", 1)}
		m := newMesh(t, all...)
		c := m.connect(false, 10)
		defer m.stop(c)
		c.ask(resource.Clusters, query{initial: versions(cluster("a", 1), cluster("b", 1))})
		c.expect(resource.Clusters, "a")
		c.ask(resource.Endpoints, query{subscribe: []string{"a", "b"}, initial: versions(all[2], all[3])})
		c.expect(resource.Endpoints, "a")
	})
}

func TestRule4EndpointsAskedForBeforeClustersComeInFull(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := []xdstest.Message{cluster("a", 1), cluster("b", 1), xdstest.Assignment("a", 1), xdstest.Assignment("b", 1)}
		m := newMesh(t, all...)
		eds := query{subscribe: []string{"a", "b"}, initial: versions(all[2], all[3])}
		broken := m.connect(false, 10)
		broken.ask(resource.Endpoints, eds)
		broken.expect(resource.Endpoints, "a", "b")
		listenersFirst := m.connect(false, 10)
		listenersFirst.ask(resource.Listeners, query{initial: map[string]string{"l": "1"}})
		listenersFirst.silent() // what is warming is not pointed at yet
		listenersFirst.ask(resource.Endpoints, eds)
		listenersFirst.expect(resource.Endpoints, "a", "b")
		clean := m.connect(false, 10)
		clean.ask(resource.Clusters, query{initial: versions(all[0], all[1])})
		clean.ask(resource.Endpoints, eds)
		clean.silent()
		m.stop(broken, listenersFirst, clean)
	})
}

func TestRule4ListenersWaitAlsoForClustersWhoseEndpointsWereRefused(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 2), cluster("new", 1), xdstest.Assignment("a", 1), xdstest.Assignment("new", 1), listener("l", "new"))
		c := m.connect(false, 10)
		defer m.stop(c)
		c.subscribe(resource.Endpoints, "a") // it has a cluster, and nothing that it could claim
		c.subscribe(resource.Listeners)
		c.ack(c.expect(resource.Endpoints, "a"))
		c.silent()
		c.ask(resource.Clusters, query{initial: versions(cluster("a", 2))})
		c.ack(c.expect(resource.Clusters, "new"))
		c.expect(resource.Listeners, "l")
	})
}

func TestRule4WhatIsStillInUseKeepsItsEndpoints(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("new", 1), xdstest.Assignment("new", 1), route("80", "new"))
		c := m.connect(false, 10)
		defer m.stop(c)
		c.ask(resource.Endpoints, query{subscribe: []string{"old", "new"}, initial: versions(xdstest.Assignment("old", 1))})
		c.ask(resource.Routes, query{subscribe: []string{"80"}, initial: versions(route("80", "old"))})
		r := c.expect(resource.Endpoints, "new")
		if !slices.Equal(r.removed, []string{"old"}) {
			t.Errorf("removed %v", r.removed)
		}
		c.ack(r)
		c.silent() // the new cluster is warming
		c.ask(resource.Clusters, query{initial: versions(cluster("old", 1), cluster("new", 1))})
		c.expect(resource.Routes, "80")
	})
}

func TestRule5RoutesWaitForNewClustersButNotForever(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1), xdstest.Assignment("a", 1), route("80", "x"), listener("l", "x"))
		c := m.start([]string{"a"}, []string{"80"})
		defer m.stop(c)
		m.set(cluster("a", 1), cluster("new", 1), xdstest.Assignment("a", 1), xdstest.Assignment("new", 1), route("80", "y"), listener("l", "y"))
		cds := c.expect(resource.Clusters, "new")
		c.subscribe(resource.Endpoints, "new")
		c.ack(c.expect(resource.Endpoints, "new"))
		c.silent()
		c.ack(cds) // warm
		c.ack(c.expect(resource.Listeners, "l"))
		c.ack(c.expect(resource.Routes, "80"))

		m.set(cluster("a", 1), cluster("new", 1), cluster("slow", 1), route("80", "z"), listener("l", "y"))
		c.expect(resource.Clusters, "slow")
		time.Sleep(2 * time.Second)
		c.silent()
		time.Sleep(2 * time.Second)
		c.expect(resource.Routes, "80")
	})
}

func TestRule5WarmingIsNoStall(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1), xdstest.Assignment("a", 1))
		c := m.connect(false, 10)
		defer m.stop(c)
		c.subscribe(resource.Clusters)
		c.expect(resource.Clusters, "a")
		time.Sleep(time.Hour)
		c.subscribe(resource.Endpoints, "a")
		c.expect(resource.Endpoints, "a")
	})
}

func TestRule6FirstWildcardAnswerIsOneAndMayBeEmpty(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t)
		c := m.connect(false, 10)
		c.subscribe(resource.Clusters)
		c.ack(c.expect(resource.Clusters))
		c.subscribe(resource.Listeners)
		c.ack(c.expect(resource.Listeners))
		c.silent()

		var big []xdstest.Message
		var names []string
		for i := range 400 {
			name := fmt.Sprintf("%s-%04d", strings.Repeat("x", 1000), i)
			names = append(names, name)
			big = append(big, cluster(name, 1), xdstest.Assignment(name, 1))
		}
		m.set(big...)
		c.drain()
		fresh := m.connect(false, 1000)
		fresh.subscribe(resource.Clusters)
		fresh.ack(fresh.expect(resource.Clusters, names...))
		fresh.subscribe(resource.Endpoints, names...)
		synctest.Wait()
		part := <-fresh.out
		if len(part.all()) == 400 || part.size() > chunk {
			t.Errorf("endpoints come in %d bytes at once", part.size())
		}
		m.stop(c, fresh)
	})
}

func TestRule7ClustersGoLastAndAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("old", 1), xdstest.Assignment("old", 1), listener("l", "old"), route("80", "old"))
		c := m.start([]string{"old"}, []string{"80"})
		defer m.stop(c)
		m.set(cluster("new", 1), xdstest.Assignment("new", 1), listener("l", "new"), route("80", "new"))
		cds := c.expect(resource.Clusters, "new")
		if len(cds.removed) != 0 {
			t.Fatalf("removes %v together with additions", cds.removed)
		}
		c.ack(cds)
		lds := c.expect(resource.Listeners, "l")
		rds := c.expect(resource.Routes, "80")
		time.Sleep(15 * time.Second)
		c.silent() // nothing is acknowledged yet
		c.ack(lds)
		c.ack(rds)
		time.Sleep(9 * time.Second)
		c.silent() // the grace
		time.Sleep(2 * time.Second)
		if r := c.expect(resource.Clusters); !slices.Equal(r.removed, []string{"old"}) {
			t.Errorf("removed %v", r.removed)
		}
	})
}

func TestRule7AClusterThatComesBackIsNotRemoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1))
		c := m.start(nil, nil)
		defer m.stop(c)
		m.set()
		c.silent()
		m.set(cluster("a", 1))
		time.Sleep(time.Minute)
		c.silent()
	})
}

func TestRule8ListenerUpdateResendsNoRoutes(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("l", "a"), route("80", "x"))
		c := m.start(nil, []string{"80"})
		defer m.stop(c)
		m.set(listener("l", "b"), route("80", "x"))
		c.ack(c.expect(resource.Listeners, "l"))
		c.silent()
	})
}

func TestRule11UnsubscribeUnderAWildcard(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1))
		c := m.connect(false, 10)
		defer m.stop(c)
		c.subscribe(resource.Clusters, "*", "a", "none")
		r := c.expect(resource.Clusters, "a")
		c.ack(r)
		c.ask(resource.Clusters, query{unsubscribe: []string{"a", "none"}})
		r = c.expect(resource.Clusters, "a")
		if !slices.Equal(r.removed, []string{"none"}) {
			t.Errorf("removed %v", r.removed)
		}
	})
}
