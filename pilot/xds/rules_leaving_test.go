package xds

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// What test/fleet saw with real Envoys: requests failed for moments in which a cluster had no hosts.

func TestRule7RoutesDoNotOvertakeEndpoints(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1), xdstest.Assignment("a", 1), cluster("b", 1), xdstest.Assignment("b", 1), listener("l", "x"), route("80", "a"))
		c := m.start([]string{"a", "b"}, []string{"80"})
		defer m.stop(c)
		state := func(to, stat string, port uint32) []xdstest.Message {
			return []xdstest.Message{cluster("a", 1), xdstest.Assignment("a", 2), cluster("b", 1), xdstest.Assignment("b", port), listener("l", stat), route("80", to)}
		}
		m.set(state("a", "x", 1)...)
		former := c.expect(resource.Endpoints, "a")
		m.set(state("b", "y", 2)...) // the route moves to where b is now
		c.silent()                   // until the endpoints may go
		c.ack(former)
		c.expect(resource.Endpoints, "b")
		c.expect(resource.Listeners, "l")
		c.expect(resource.Routes, "80")
	})
}

func TestRule2WhatALeavingClusterHasStays(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := []xdstest.Message{cluster("a", 1), xdstest.Assignment("a", 1), route("80", "a")}
		m := newMesh(t, all...)
		// A former stream broke, and a removal ended the client's claim of what a cluster has that is
		// in use until its routes have moved.
		c := m.connect(false, 10)
		defer m.stop(c)
		c.ask(resource.Clusters, query{initial: versions(all[0], cluster("leaving", 1))})
		c.ask(resource.Endpoints, query{subscribe: []string{"a", "leaving"}, initial: versions(all[1])})
		if r := c.expect(resource.Endpoints); !slices.Equal(r.removed, []string{"leaving"}) {
			t.Errorf("removed %v", r.removed)
		}
	})
}

// A send that returns after its response is acknowledged does not hide that routes have only just
// moved away from a cluster.
func TestRule7GraceBeginsWithTheAcknowledgement(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("old", 1), xdstest.Assignment("old", 1), listener("l", "x"), route("80", "old"))
		c := m.start([]string{"old"}, []string{"80"})
		m.set(cluster("old", 1), xdstest.Assignment("old", 1), listener("l", "x"), route("80", "old"))
		time.Sleep(time.Minute) // settled long ago
		synctest.Wait()
		c.linger = make(chan struct{})
		m.set(listener("l", "x"), route("80", "none"))
		r := c.expect(resource.Routes, "80")
		time.Sleep(10 * time.Second)
		c.ack(r)
		synctest.Wait()
		close(c.linger) // now the send returns
		c.silent()
		time.Sleep(9 * time.Second)
		c.silent()
		time.Sleep(2 * time.Second)
		if r := c.expect(resource.Clusters); !slices.Equal(r.removed, []string{"old"}) {
			t.Errorf("removed %v", r.removed)
		}
		m.stop(c)
	})
}

// A cluster that nothing points at any more goes when its own time is over, however often routes to others change
// meanwhile.
func TestRule7OtherChangesDoNotKeepALeavingCluster(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("old", 1), xdstest.Assignment("old", 1), listener("l", "x"), route("80", "old"))
		c := m.start([]string{"old"}, []string{"80"})
		defer m.stop(c)
		m.set(listener("l", "x"), route("80", "none"))
		r := c.expect(resource.Routes, "80")
		kept := func() []Kept { return m.server.Connections()[0].Types[resource.Clusters].Kept }
		if got := kept(); !slices.Equal(got, []Kept{{Name: "old"}}) {
			t.Errorf("while its route is there %v is kept", got)
		}
		c.ack(r)
		synctest.Wait()
		if got := kept(); !slices.Equal(got, []Kept{{"old", time.Now().Add(10 * time.Second)}}) {
			t.Errorf("%v is kept", got)
		}
		for _, host := range []string{"a", "b", "d"} {
			time.Sleep(3 * time.Second)
			m.set(listener("l", "x"), route("80", host))
			c.ack(c.expect(resource.Routes, "80"))
			c.silent()
		}
		time.Sleep(1100 * time.Millisecond) // the grace of 10 s is over
		if r := c.expect(resource.Clusters); !slices.Equal(r.removed, []string{"old"}) || len(kept()) > 0 {
			t.Errorf("removed %v, kept %v", r.removed, kept())
		}
	})
}

// A proxy that comes back may still have listeners and routes of a former stream that point at what is no more.
func TestRule7GraceBeginsAfterWhatAReturningProxyHas(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("l", "y"))
		c := m.connect(false, 10)
		defer m.stop(c)
		c.ask(resource.Clusters, query{initial: versions(cluster("old", 1))})
		c.silent()
		time.Sleep(8 * time.Second)
		c.ask(resource.Listeners, query{initial: versions(listener("l", "x"))})
		c.ack(c.expect(resource.Listeners, "l"))
		time.Sleep(9 * time.Second)
		c.silent()
		time.Sleep(2 * time.Second)
		if r := c.expect(resource.Clusters); !slices.Equal(r.removed, []string{"old"}) {
			t.Errorf("removed %v", r.removed)
		}
	})
}
