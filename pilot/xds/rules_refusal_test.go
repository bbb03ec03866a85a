package xds

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

func TestRule9GoodPartOfARefusedResponseIsResentAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("bad", "1"), listener("good", "1"))
		c := m.start(nil, nil)
		m.set(listener("bad", "2"), listener("good", "2"))
		r := c.expect(resource.Listeners, "bad", "good")
		c.nack(r, "Error adding/updating listener(s) bad: no such filter\n")
		c.ack(c.expect(resource.Listeners, "good"))
		c.silent()
		if len(m.problems) != 1 || m.problems[0].Reason != model.ReasonRejected {
			t.Errorf("problems %v", m.problems)
		}
		// Who comes now gets what was accepted last, and the others keep updating.
		fresh := m.connect(false, 10)
		fresh.subscribe(resource.Listeners)
		got := fresh.expect(resource.Listeners, "good", "bad") // what was put back stands over the others
		if v := versions(listener("bad", "1")); got.all()[1].Version != v["bad"] {
			t.Error("a newcomer gets the refused version")
		}
		m.set(listener("bad", "3"), listener("good", "2"))
		c.expect(resource.Listeners, "bad")
		m.stop(c, fresh)
	})
}

func TestRule9WhatARefusedFullStateTookAwayComesBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("back", "1"), listener("bad", "1"))
		c := m.connect(true, 10)
		defer m.stop(c)
		c.subscribe(resource.Listeners)
		c.ack(c.expect(resource.Listeners, "back", "bad"))
		m.set(listener("bad", "2"))
		c.nack(c.expect(resource.Listeners, "bad"), "Error adding/updating listener(s) bad: no such filter\n")
		c.silent()
		m.set(listener("back", "1"), listener("bad", "2"))
		c.ack(c.expect(resource.Listeners, "back", "bad"))
		c.silent()
	})
}

func TestRule9RefusedBatchIsBisected(t *testing.T) {
	bubble(t, func(t *testing.T) {
		names := []string{"a", "b", "bad", "d", "e"}
		var all []xdstest.Message
		for _, n := range names {
			all = append(all, xdstest.Assignment(n, 1))
		}
		m := newMesh(t, all...)
		c := m.connect(false, 10)
		defer m.stop(c)
		c.subscribe(resource.Endpoints, names...)
		got := map[string]bool{}
		for range 20 {
			synctest.Wait()
			if len(c.out) == 0 {
				break
			}
			r := <-c.out
			if slices.Contains(namesOf(r.all()), "bad") {
				c.nack(r, "malformed IP address")
				continue
			}
			for _, n := range namesOf(r.all()) {
				got[n] = true
			}
			c.ack(r)
		}
		c.silent()
		if len(got) != 4 || got["bad"] || len(m.problems) != 1 {
			t.Errorf("delivered %v, problems %v", got, m.problems)
		}
	})
}

func TestRule9RefusedEndpointsThatAreOwedAgainHoldUpNoOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		endpoints := []xdstest.Message{xdstest.Assignment("a", 1), xdstest.Assignment("b", 1)}
		m := newMesh(t, append(endpoints, cluster("a", 1), cluster("b", 1))...)
		c := m.connect(true, 10)
		defer m.stop(c)
		both := []string{"a", "b"}
		ack := func(r *response) { c.ask(resource.Endpoints, query{nonce: nonceOf(r), names: both}) }
		refuse := func(r *response) {
			c.ask(resource.Endpoints, query{nonce: nonceOf(r), names: both, refused: true, detail: "malformed"})
		}
		c.subscribe(resource.Clusters)
		c.ack(c.expect(resource.Clusters, "a", "b"))
		c.subscribe(resource.Endpoints, both...)
		refuse(c.expect(resource.Endpoints, "a", "b"))
		refuse(c.expect(resource.Endpoints, "a"))
		ack(c.expect(resource.Endpoints, "b"))
		m.set(append(endpoints, cluster("a", 2), cluster("b", 2))...) // both clusters wait for endpoints again
		c.ack(c.expect(resource.Clusters, "a", "b"))
		refuse(c.expect(resource.Endpoints, "a", "b"))
		ack(c.expect(resource.Endpoints, "b"))
		refuse(c.expect(resource.Endpoints, "a")) // which ends the waiting
		c.silent()
	})
}

func TestRule9ClaimsAfterAnUnrepairedRefusalAreNotTrusted(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("a", "1"), listener("b", "1"))
		c := m.start(nil, nil)
		m.set(listener("a", "2"), listener("b", "2"))
		c.nack(c.expect(resource.Listeners, "a", "b"), "Error adding/updating listener(s) a: bad\n")
		c.expect(resource.Listeners, "b") // and the stream breaks before it is acknowledged
		m.stop(c)
		m.set(listener("a", "1"), listener("b", "1"))
		again := m.connect(false, 10)
		again.ask(resource.Clusters, query{})
		again.expect(resource.Clusters)
		again.ask(resource.Listeners, query{initial: versions(listener("a", "1"), listener("b", "1"))})
		again.expect(resource.Listeners, "a", "b")
		m.stop(again)
	})
}

func TestRule9AProxyIsNotTrustedWhileItsFormerStreamHangs(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("a", "1"), listener("b", "1"))
		hangs := m.start(nil, nil)
		m.set(listener("a", "2"), listener("b", "2"))
		hangs.nack(hangs.expect(resource.Listeners, "a", "b"), "Error adding/updating listener(s) a: bad\n")
		hangs.expect(resource.Listeners, "b")
		m.set(listener("a", "1"), listener("b", "1"))
		streams := []*client{hangs}
		for range 2 { // the second comes before the first asks for listeners
			again := m.connect(false, 10)
			again.ask(resource.Clusters, query{})
			again.expect(resource.Clusters)
			streams = append(streams, again)
		}
		last := m.connect(false, 10)
		last.ask(resource.Clusters, query{})
		last.expect(resource.Clusters)
		last.ask(resource.Listeners, query{initial: versions(listener("a", "1"), listener("b", "1"))})
		last.ack(last.expect(resource.Listeners, "a", "b"))
		m.stop(append(streams, last)...)
		fresh := m.connect(false, 10)
		fresh.ask(resource.Clusters, query{})
		fresh.expect(resource.Clusters)
		fresh.ask(resource.Listeners, query{initial: versions(listener("a", "1"), listener("b", "1"))})
		fresh.silent() // what it holds is known since it acknowledged all
		m.stop(fresh)
	})
}

func TestRule9WhatWasNotAnsweredIsNotTrustedByName(t *testing.T) {
	bubble(t, func(t *testing.T) {
		before := []xdstest.Message{listener("a", "1"), listener("b", "1")}
		m := newMesh(t, before...)
		c := m.start(nil, nil)
		m.set(listener("a", "2"), listener("b", "1"), listener("new", "1"))
		c.expect(resource.Listeners, "a", "new") // rejected in part, but the answer does not arrive
		m.stop(c)
		m.set(before...)
		for range 2 { // the first breaks before it asks, the second before it answers
			again := m.connect(false, 10)
			again.ask(resource.Clusters, query{})
			again.expect(resource.Clusters)
			m.stop(again)
		}
		again := m.connect(false, 10)
		again.ask(resource.Clusters, query{})
		again.expect(resource.Clusters)
		again.ask(resource.Listeners, query{initial: versions(before...)})
		if r := again.expect(resource.Listeners, "a"); !slices.Equal(r.removed, []string{"new"}) {
			t.Errorf("removed %v", r.removed)
		}
		m.stop(again)
	})
}

func TestRule9AnUnansweredRemovalIsNotBelieved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("a", "1"))
		c := m.start(nil, nil)
		m.set(listener("a", "2"), listener("new", "1"))
		refused := c.expect(resource.Listeners, "a", "new")
		m.set(listener("a", "1"))
		c.nack(refused, "Error adding/updating listener(s) a: bad\n") // so it runs the new one, and does not claim it
		if r := c.expect(resource.Listeners); !slices.Equal(r.removed, []string{"new"}) {
			t.Errorf("removed %v", r.removed)
		}
		m.stop(c) // before it heard of that
		again := m.connect(false, 10)
		again.ask(resource.Clusters, query{})
		again.expect(resource.Clusters)
		again.ask(resource.Listeners, query{initial: versions(listener("a", "1"))})
		if r := again.expect(resource.Listeners, "a"); !slices.Equal(r.removed, []string{"new"}) {
			t.Errorf("removed %v on the next stream", r.removed)
		}
		m.stop(again)
	})
}

func TestRule9ARefusalCastsDoubtOnWhatIsOnItsWay(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1), xdstest.Assignment("a", 1))
		c := m.start([]string{"a"}, nil)
		m.set(cluster("a", 2), cluster("new", 2), xdstest.Assignment("a", 1))
		first := c.expect(resource.Clusters, "a", "new")
		m.set(cluster("a", 2), cluster("new", 3), xdstest.Assignment("a", 1))
		c.ack(c.expect(resource.Endpoints, "a")) // a waits for endpoints again
		second := c.expect(resource.Clusters, "new")
		c.nack(first, "Error adding/updating cluster(s) a: bad") // so it runs the second version of new, and does not claim it
		third := c.expect(resource.Clusters, "a", "new")
		m.set(cluster("a", 1), xdstest.Assignment("a", 1))
		c.nack(second, "Error adding/updating cluster(s) new: bad")
		c.nack(third, "Error adding/updating cluster(s) new: bad")
		m.stop(c)
		again := m.connect(false, 10)
		again.ask(resource.Clusters, query{initial: versions(cluster("a", 1))})
		again.ack(again.expect(resource.Clusters, "a"))
		again.subscribe(resource.Endpoints, "a")
		again.ack(again.expect(resource.Endpoints, "a"))
		again.subscribe(resource.Listeners)
		again.ack(again.expect(resource.Listeners))
		time.Sleep(time.Minute)
		if r := again.expect(resource.Clusters); !slices.Equal(r.removed, []string{"new"}) {
			t.Errorf("removed %v", r.removed)
		}
		m.stop(again)
	})
}

func TestRule9WhatIsOwedSinceARefusalIsNotForgotten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1), cluster("b", 1), xdstest.Assignment("a", 1), xdstest.Assignment("b", 1))
		c := m.start([]string{"a", "b"}, nil)
		defer m.stop(c)
		m.set(cluster("a", 1), cluster("b", 1), xdstest.Assignment("a", 2), xdstest.Assignment("b", 2))
		refused := c.expect(resource.Endpoints, "a", "b")
		m.set(cluster("a", 2), cluster("b", 2), xdstest.Assignment("b", 2)) // a waits for endpoints that are gone
		c.expect(resource.Clusters, "a", "b")
		c.nack(refused, "malformed")
		c.ack(c.expect(resource.Endpoints, "b"))
		c.expect(resource.Endpoints, "a")
	})
}

func TestRule9WhatComesBackIsRefusedAndReportedAgain(t *testing.T) {
	for name, between := range map[string][]xdstest.Message{"gone": nil, "another version": {listener("l", "2")}} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				m := newMesh(t, listener("l", "1"))
				c := m.connect(false, 10)
				c.subscribe(resource.Listeners)
				c.nack(c.expect(resource.Listeners, "l"), "bad")
				other := listener("other", "1")
				m.set(listener("l", "1"), other)
				slow := c.expect(resource.Listeners, "other")
				m.set(append(between, other)...) // which the client does not see
				m.set(listener("l", "1"), other)
				c.ack(slow)
				c.nack(c.expect(resource.Listeners, "l"), "bad")
				c.silent()
				if len(m.problems) != 1 {
					t.Errorf("problems %v", m.problems)
				}
				m.stop(c)
			})
		})
	}
}

func TestRule9WhatAProxyMayRunIsRemovedThoughItGoesBeforeTheFirstResponse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		stays := []xdstest.Message{cluster("c", 1), xdstest.Assignment("c", 1), listener("stays", "1")}
		m := newMesh(t, append(stays, listener("goes", "1"))...)
		first := m.connect(false, 10)
		first.subscribe(resource.Listeners)
		first.expect(resource.Listeners, "goes", "stays") // rejected in part, but the answer does not arrive
		m.stop(first)
		again := m.connect(false, 10)
		again.subscribe(resource.Clusters)
		again.expect(resource.Clusters, "c")
		again.subscribe(resource.Listeners)
		again.silent() // listeners wait for the cluster
		m.set(stays...)
		time.Sleep(4 * time.Second)
		if r := again.expect(resource.Listeners, "stays"); !slices.Equal(r.removed, []string{"goes"}) {
			t.Errorf("removed %v", r.removed)
		}
		m.stop(again)
	})
}

func TestProxysOwnTroubleLeavesItsClassAlone(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("l", "1"))
		c := m.connect(false, 10)
		c.subscribe(resource.Listeners)
		c.nack(c.expect(resource.Listeners, "l"), "Error adding/updating listener(s) l: cannot bind '0.0.0.0:80': Address already in use\n")
		c.silent()
		if s := m.server.Connections()[0].Types[resource.Listeners]; s.State != StateError || s.Error == "" {
			t.Errorf("status %+v", s)
		}
		c.subscribe(resource.Listeners, "*") // what was rejected is not sent again
		c.silent()
		other := m.connect(false, 10)
		other.subscribe(resource.Listeners)
		other.expect(resource.Listeners, "l")
		m.stop(c, other)
	})
}

func TestErrorEndsWithItsCause(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("l", "1"))
		c := m.start(nil, nil)
		defer m.stop(c)
		m.set(listener("l", "2"))
		c.nack(c.expect(resource.Listeners, "l"), "Error adding/updating listener(s) l: bad")
		c.silent()
		state := func() State { return m.server.Connections()[0].Types[resource.Listeners].State }
		if state() != StateError {
			t.Errorf("after a refusal: %s", state())
		}
		m.set(listener("l", "1")) // what the client runs
		c.silent()
		if state() != StateSynced {
			t.Errorf("after the change was taken back: %s", state())
		}
		m.set(listener("l", "3"))
		c.ack(c.expect(resource.Listeners, "l"))
		synctest.Wait()
		if state() != StateSynced {
			t.Errorf("after a repair: %s", state())
		}
	})
}

func TestNamesInARefusal(t *testing.T) {
	for list, want := range map[string][]string{
		"a: no":                            {"a"},
		"a: no, b: no\nc: no, or, d":       {"a", "b", "c"},
		"outbound|80||x.y: bad: why, e: x": {"outbound|80||x.y", "e"},
		"fd00::1_80: taken":                {"fd00::1_80"},
		"":                                 nil,
		strings.Repeat(", ", 1<<17):        nil,
	} {
		got := namedIn(list)
		for _, name := range want {
			if _, ok := got[name]; !ok {
				t.Errorf("%.50q: %s is not found", list, name)
			}
		}
		if len(want) == 0 && len(got) > 0 {
			t.Errorf("%.50q: found %v", list, got)
		}
	}
	// One that is made to be dear, for as many resources as a large mesh has.
	all := make([]*resource.Resource, 10_000)
	for i := range all {
		all[i] = &resource.Resource{Name: strings.Repeat("x", 100)}
	}
	detail := "Error adding/updating cluster(s) " + strings.Repeat("x", maxRejection)
	if bad, _ := blame(resource.Clusters, detail, all); len(bad) != 0 {
		t.Errorf("%d are blamed", len(bad))
	}
}

func TestReasonOfEachRejectedResource(t *testing.T) {
	const detail = "Error adding/updating cluster(s) a: bad, really, b: worse: much, c: x"
	both := map[string]struct{}{"a": {}, "b": {}}
	for name, want := range map[string]string{"a": "bad, really", "b": "worse: much, c: x", "z": detail} {
		if got := reason(detail, name, both); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := reason(detail, "a", map[string]struct{}{"a": {}}); got != detail {
		t.Errorf("a alone: %q", got)
	}
}
