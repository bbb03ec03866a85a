package random

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// patience is how long a real Envoy may take to say what a client of the test would.
const patience = 5 * time.Second

// What the test's clients say to a server, a real Envoy says to the same responses: the same requests
// of the same types in the same order, with the same names, answers and claims.
func TestClientsBehaveAsEnvoyDoes(t *testing.T) {
	for i := range *replays {
		seed := uint64(*first + i)
		var tapes []*client
		synctest.Test(t, func(t *testing.T) { tapes = record(t, seed) })
		for n, c := range tapes {
			t.Run(fmt.Sprintf("%d/%d", seed, n), func(t *testing.T) {
				t.Parallel()
				replay(t, c)
			})
		}
	}
}

// record runs a seed and gives its clients. Former listeners never go in it: how long they take is
// a matter of two clocks.
func record(t *testing.T, seed uint64) []*client {
	w := newWorld(t, seed, &contents{byID: map[string]*content{}})
	w.drainTime = 10000 * time.Hour
	w.run()
	return append(w.clients, w.former...)
}

// replay sends a real Envoy what a client got, and compares what it says.
func replay(t *testing.T, c *client) {
	s := serveScript(t)
	envoytest.Run(t, envoytest.Config{Node: c.node.GetId(), Socket: s.socket, SotW: !c.isDelta, Apart: true, Drain: time.Hour})
	var on *scriptedStream
	for i, step := range c.tape {
		fail := func(format string, args ...any) {
			t.Helper()
			t.Fatalf("step %d of %d: %s\n%s", i, len(c.tape), fmt.Sprintf(format, args...), printed(c.tape[max(0, i-30):i+1]))
		}
		if step.said != nil && step.said.typ == xdsres.NameTables || step.got != nil && step.got.typ == xdsres.NameTables {
			continue // the agent's
		}
		switch {
		case step.opened:
			if on = s.next(); on == nil {
				fail("the Envoy does not connect")
			}
		case step.closed:
			if extra := on.finish(); extra != nil {
				fail("the Envoy also says\n%v", extra)
			}
		case step.got != nil:
			if err := on.send(step.got); err != nil {
				fail("%v", err)
			}
		default:
			said := on.hear()
			if said == nil {
				fail("the Envoy does not say it")
			}
			if wrong := compareRequests(step.said, said); wrong != "" {
				fail("the Envoy says\n%v: %s", said, wrong)
			}
		}
	}
}

// A full state of which a part is refused takes away what it leaves out all the same.
func TestEnvoyDropsWhatARefusedStateLeavesOut(t *testing.T) {
	t.Parallel()
	s := serveScript(t)
	e := envoytest.Run(t, envoytest.Config{Node: "sidecar~10.0.0.1~p.a~a.svc.cluster.local", Socket: s.socket, SotW: true, Apart: true})
	on := s.next()
	tell := func(nonce string, typ xdsres.Type, resources ...*resource) {
		t.Helper()
		r := &response{typ: typ, nonce: nonce, version: nonce, resources: resources}
		if len(resources) == 1 {
			r.refused = map[string]string{resources[0].name: "no such filter"}
		}
		if err := on.send(r); err != nil {
			t.Fatal(err)
		}
		said := on.hear()
		for said != nil && said.nonce != nonce {
			said = on.hear()
		}
		if said == nil || (said.detail != "") != (len(resources) == 1) {
			t.Fatalf("to %s the Envoy says %v", nonce, said)
		}
	}
	leaves, stays := emptyListener(t, "leaves"), emptyListener(t, "stays")
	tell("1", xdsres.Clusters)
	tell("2", xdsres.Listeners, leaves, stays)
	has := func(name string) bool { return strings.Contains(e.Get("/listeners"), name) }
	envoytest.Eventually(t, "both listeners are up", func() bool { return has("leaves") && has("stays") })
	tell("3", xdsres.Listeners, stays)
	envoytest.Eventually(t, "one is gone", func() bool { return !has("leaves") })
	if !has("stays") {
		t.Error("the refused one's former version is gone")
	}
}

func emptyListener(t *testing.T, name string) *resource {
	t.Helper()
	wire, err := proto.Marshal(&listenerv3.Listener{
		Name: name, FilterChains: []*listenerv3.FilterChain{{}},
		Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(envoytest.FreePort(t))},
		}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return &resource{&content{hash: name, wire: string(wire)}, name, "1"}
}

// compareRequests tells how a real request differs from a client's, or gives "".
func compareRequests(want, got *request) string {
	var out []string
	differ := func(what string, want, got any, same bool) {
		if !same {
			out = append(out, fmt.Sprintf("%s %v, not %v", what, got, want))
		}
	}
	differ("type", want.typ, got.typ, want.typ == got.typ)
	differ("nonce", want.nonce, got.nonce, want.nonce == got.nonce)
	differ("refusal", want.detail, got.detail, (want.detail == "") == (got.detail == ""))
	differ("subscribes", want.subscribe, got.subscribe, slices.Equal(want.subscribe, got.subscribe))
	differ("unsubscribes", want.unsubscribe, got.unsubscribe, slices.Equal(want.unsubscribe, got.unsubscribe))
	differ("claims", want.initial, got.initial, maps.Equal(want.initial, got.initial))
	differ("names", want.names, got.names, slices.Equal(want.names, got.names))
	differ("version", want.version, got.version, want.version == got.version)
	return strings.Join(out, "; ")
}
