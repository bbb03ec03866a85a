package rules

import (
	"strings"
	"sync/atomic"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

func TestRule9TheGoodPartOfARefusedResponseIsSentAgain(t *testing.T) {
	t.Parallel()
	m := warmed(t)
	m.set(badCluster("bad"), xdstest.Cluster("good", 1), xdstest.Assignment("good", 1))
	m.await("a refusal", nack(resource.Clusters))
	m.await("an acknowledgement of the good part", ack(resource.Clusters))
	if m.count(response(resource.Clusters, "good")) != 2 || m.count(response(resource.Clusters, "bad")) != 1 {
		t.Error("not the good part alone was sent again")
	}
	m.eventually("the bad cluster is reported", func() bool {
		all := m.reported()
		return len(all) == 1 && strings.Contains(all[0].Message, `"bad"`)
	})
	if !m.active("good") || m.active("bad") {
		t.Error("Envoy does not run the good part alone")
	}
}

func TestRule9ARefusedBatchIsBisected(t *testing.T) {
	t.Parallel()
	port := envoytest.FreePort(t)
	a := envoytest.Backend(t, "a")
	state := func(a *xdstest.Message, badHost string) []xdstest.Message {
		return []xdstest.Message{
			xdstest.Cluster("a", 1), xdstest.Cluster("b", 1), xdstest.Cluster("bad", 1), xdstest.Cluster("d", 1),
			*a, xdstest.Assignment("b", 1), xdstest.AssignmentAt("bad", badHost, 1), xdstest.Assignment("d", 1),
			listener("http", port, "r", "x"), xdstest.Route("r", "a"),
		}
	}
	nowhere, somewhere := xdstest.Assignment("a", 1), xdstest.Assignment("a", a)
	m := warmed(t, state(&nowhere, "127.0.0.1")...)
	load := startLoad(t, port)
	m.set(state(&somewhere, "no address")...)
	m.await("a refusal", nack(resource.Endpoints))
	m.eventually("the good part of the batch is in force", from(load, "a"))
	m.eventually("the bad assignment is reported", func() bool {
		all := m.reported()
		return len(all) == 1 && strings.Contains(all[0].Message, `"bad"`)
	})
	if !strings.Contains(m.Get("/clusters"), "bad::127.0.0.1:1::") {
		t.Error("the bad one's former endpoints are gone")
	}
}

// A part of a refused response is in force although Envoy does not claim it: what it claims when it
// comes back is not what it runs.
func TestRule9ClaimsDoNotCountUntilARefusalIsRepaired(t *testing.T) {
	t.Parallel()
	good, bad := envoytest.FreePort(t), envoytest.FreePort(t)
	a := envoytest.Backend(t, "a")
	state := func(stat string, second xdstest.Message) []xdstest.Message {
		return []xdstest.Message{xdstest.Cluster("a", 1), xdstest.Assignment("a", a), xdstest.Route("r", "a"), listener("good", good, "r", stat), second}
	}
	fine := listener("bad", bad, "r", "x")
	runs := func(m *mesh, stat string) func() bool {
		return func() bool {
			return strings.Contains(m.Get("/config_dump?resource=dynamic_listeners&name_regex=good"), `"stat_prefix": "`+stat+`"`)
		}
	}
	// scene has Envoy refuse a response, run a part of it, and come back when the mesh is as before.
	scene := func(t *testing.T, after meddler) *mesh {
		m := warmed(t, state("former", fine)...)
		var refused, away, back atomic.Bool
		m.meddling(func(x *message) envoytest.Verdict {
			switch {
			case back.Load():
				return after(x)
			case away.Load():
				return envoytest.Cut
			case nack(resource.Listeners)(x):
				refused.Store(true)
			case refused.Load() && response(resource.Listeners)(x):
				away.Store(true) // what would repair it
				return envoytest.Cut
			}
			return envoytest.Pass
		})
		m.set(state("later", badListener("bad", bad))...)
		m.await("a refusal", nack(resource.Listeners))
		m.eventually("the stream breaks before it is repaired", away.Load)
		m.eventually("the good part is in force", runs(m, "later"))
		m.set(state("former", fine)...)
		back.Store(true)
		m.await("Envoy is back and claims listeners", func(x *message) bool {
			return back.Load() && request(resource.Listeners)(x) && len(x.Request.GetInitialResourceVersions()) > 0
		})
		return m
	}
	t.Run("kept", func(t *testing.T) {
		t.Parallel()
		m := scene(t, func(*message) envoytest.Verdict { return envoytest.Pass })
		m.eventually("Envoy runs what the mesh is", runs(m, "former"))
	})
	t.Run("without the rule", func(t *testing.T) {
		t.Parallel()
		m := scene(t, drop(response(resource.Listeners)))
		m.await("listeners", response(resource.Listeners))
		m.barrier()
		if !runs(m, "later")() {
			t.Error("Envoy went back by itself")
		}
	})
}
