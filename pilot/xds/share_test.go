package xds

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/security/loglimit"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// connectAs opens a stream from an address; account "" proves nothing.
func (m *mesh) connectAs(account, address string) *client {
	m.t.Helper()
	ctx, cancel := context.WithCancel(m.t.Context())
	ctx = metadata.NewIncomingContext(ctx, m.says)
	ctx = peer.NewContext(ctx, &peer.Peer{Addr: &net.TCPAddr{IP: net.ParseIP(address), Port: 1234}})
	c := &client{t: m.t, in: make(chan []byte, 16), out: make(chan *response, 1000), ctx: ctx, close: cancel, ended: make(chan error, 1)}
	var authenticate Authenticate
	if account != "" {
		authenticate = func(context.Context) (Identity, error) {
			return Identity{Namespace: "ns", ServiceAccount: account}, nil
		}
	}
	go func() {
		c.ended <- m.server.serve(ctx, c, authenticate)
		cancel()
	}()
	return c
}

// as sends a first request of a node for clusters.
func (c *client) as(node *corev3.Node) {
	b, err := proto.Marshal(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: resource.Clusters.URL()})
	if err != nil {
		c.t.Fatal(err)
	}
	c.in <- b
}

func nodeOf(namespace, version string) *corev3.Node {
	return &corev3.Node{
		Id:       "sidecar~10.0.0.1~pod." + namespace + "~" + namespace + ".svc.cluster.local",
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{"ISTIO_VERSION": structpb.NewStringValue(version)}},
	}
}

// refused gives the code of a stream that ended, OK for one that goes on.
func (c *client) refused() codes.Code {
	synctest.Wait()
	select {
	case err := <-c.ended:
		return status.Code(err)
	default:
		return codes.OK
	}
}

func TestStreamsAreLimitedByIdentity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1))
		m.server.shares = newShares(Limits{Streams: 4}, Limits{Streams: 3, PeerStreams: 2})
		var all []*client
		connect := func(account, address string, want codes.Code) {
			t.Helper()
			c := m.connectAs(account, address)
			c.subscribe(resource.Clusters)
			if got := c.refused(); got != want {
				t.Errorf("%q from %s: %v, want %v", account, address, got, want)
			}
			all = append(all, c)
		}
		connect("", "10.0.0.1", codes.OK)
		connect("", "10.0.0.1", codes.OK)
		connect("", "10.0.0.1", codes.ResourceExhausted) // of this address
		connect("", "10.0.0.2", codes.OK)
		connect("", "10.0.0.3", codes.ResourceExhausted) // of all without proof
		for range 4 {
			connect("a", "10.0.0.1", codes.OK)
		}
		connect("a", "10.0.0.4", codes.ResourceExhausted)
		connect("b", "10.0.0.1", codes.OK) // is starved by nobody
		all[0].close()
		synctest.Wait()
		connect("", "10.0.0.3", codes.OK) // what ended gives its place back
		m.stop(all...)
		if len(m.server.shares.byID) != 0 {
			t.Errorf("%d shares are left", len(m.server.shares.byID))
		}
	})
}

func TestNamesAreLimited(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1))
		m.server.shares = newShares(Limits{}, Limits{StreamNames: 3, Names: 5})
		first, second, third := m.connectAs("", "10.0.0.1"), m.connectAs("", "10.0.0.2"), m.connectAs("", "10.0.0.3")
		first.subscribe(resource.Endpoints, "1", "2")
		first.ask(resource.Endpoints, query{unsubscribe: []string{"1"}, subscribe: []string{"3"}})
		first.subscribe(resource.Routes, "4")
		if got := first.refused(); got != codes.OK {
			t.Errorf("within its limit: %v", got)
		}
		second.subscribe(resource.Endpoints, "1", "2", "3")
		if got := second.refused(); got != codes.ResourceExhausted {
			t.Errorf("above the limit of all: %v", got)
		}
		third.subscribe(resource.Endpoints, "1", "2")
		if got := third.refused(); got != codes.OK {
			t.Errorf("after another has left: %v", got)
		}
		third.close()
		synctest.Wait()
		first.subscribe(resource.Endpoints, "5")
		if got := first.refused(); got != codes.ResourceExhausted {
			t.Errorf("above the limit of a stream: %v", got)
		}
		long := m.connectAs("", "10.0.0.4")
		long.subscribe(resource.Endpoints, strings.Repeat("x", maxName+1))
		if long.refused() == codes.OK {
			t.Error("a name that is too long is taken")
		}
		m.stop(first, second, third, long)
	})
}

// A storm of callers without proof holds the places of its own share only.
func TestAStormWithoutProofKeepsNobodyWaiting(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster(strings.Repeat("x", largeResponse), 1))
		slow := &slowSource{Source: m.engine}
		m.server.opts.Source = slow
		m.server.admission.places, m.server.shares.places = semaphore.NewWeighted(2), 1
		m.server.admission.turns, m.server.shares.turns = semaphore.NewWeighted(6*largeResponse), 3*largeResponse
		var all []*client
		for range 100 {
			c := m.connectAs("", "10.0.0.1")
			c.subscribe(resource.Clusters)
			all = append(all, c)
		}
		synctest.Wait()
		proven := m.connectAs("a", "10.0.0.2")
		proven.subscribe(resource.Clusters)
		time.Sleep(1001 * time.Millisecond) // which the source takes
		synctest.Wait()
		if len(proven.out) != 1 {
			t.Error("a caller with proof waits behind those without")
		}
		m.stop(append(all, proven)...)
	})
}

func TestClassesAreLimitedByIdentity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t)
		m.engine = push.New(push.Options{MaxClasses: 5, MaxAnonymousClasses: 3, MaxPeerClasses: 2})
		m.server.opts.Source = m.engine
		m.set(cluster("a", 1))
		var all []*client
		from := "10.0.0.1"
		connect := func(account, namespace string, want codes.Code) {
			t.Helper()
			c := m.connectAs(account, from)
			c.as(nodeOf(namespace, ""))
			if got := c.refused(); got != want {
				t.Errorf("%q in %s: %v, want %v", account, namespace, got, want)
			}
			all = append(all, c)
		}
		for i := range 2 {
			connect("", fmt.Sprint("n", i), codes.OK)
		}
		connect("", "n2", codes.ResourceExhausted) // of one address
		from = "10.0.0.2"
		connect("", "n2", codes.OK)
		connect("", "n3", codes.ResourceExhausted) // of all
		connect("", "n0", codes.OK)                // a class that there is
		connect("a", "ns", codes.OK)
		views := map[*push.View]struct{}{}
		for _, c := range m.server.Connections() {
			views[c.View] = struct{}{}
		}
		if len(views) != 4 {
			t.Errorf("%d classes", len(views))
		}
		all[1].close()
		synctest.Wait()
		connect("", "n3", codes.ResourceExhausted) // what was built for it stays until the next commit
		m.set(cluster("a", 2))
		connect("", "n3", codes.OK)
		m.stop(all...)
	})
}

// A refusal's text is as long as its sender likes.
func TestWhatIsKeptAndLoggedOfARefusalIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		var log bytes.Buffer
		m := newMesh(t, listener("l", "1"))
		m.server.opts.Logger = slog.New(slog.NewTextHandler(&log, nil))
		c := m.start(nil, nil)
		m.set(listener("l", "2"))
		c.nack(c.expect(resource.Listeners, "l"), "Error adding/updating listener(s) l: "+strings.Repeat("é", 4<<20))
		c.silent()
		const most = 6 << 10
		if got := len(m.server.Connections()[0].Types[resource.Listeners].Error); got > most || got == 0 {
			t.Errorf("%d bytes are kept", got)
		}
		if log.Len() > 2*most || log.Len() == 0 {
			t.Errorf("%d bytes are logged", log.Len())
		}
		if len(m.problems) != 1 || len(m.problems[0].Message) > most {
			t.Errorf("%d problems, of %d bytes", len(m.problems), len(m.problems[0].Message))
		}
		for i := range 5 * loglimit.Lines {
			m.set(listener("l", fmt.Sprint("x", i)))
			c.nack(c.expect(resource.Listeners, "l"), "no")
			c.silent()
		}
		if got := strings.Count(log.String(), "\n"); got > 2*loglimit.Lines {
			t.Errorf("%d lines are logged", got)
		}
		m.stop(c)
	})
}

func TestVersionsOfProxiesAreFewLabels(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1))
		reg := prometheus.NewRegistry()
		m.server.metrics = newMetrics(reg)
		labels := func() map[string]float64 {
			families, err := reg.Gather()
			if err != nil {
				t.Fatal(err)
			}
			out := map[string]float64{}
			for _, f := range families {
				if f.GetName() == "pilot_xds" {
					for _, metric := range f.GetMetric() {
						out[metric.GetLabel()[0].GetValue()] = metric.GetGauge().GetValue()
					}
				}
			}
			return out
		}
		var all []*client
		connect := func(account, version string) {
			c := m.connectAs(account, "10.0.0.1")
			c.as(nodeOf("ns", version))
			synctest.Wait()
			all = append(all, c)
		}
		for i := range 300 {
			connect("", fmt.Sprint("junk", i))
		}
		connect("a", "1.32.0")
		if got := labels(); len(got) > maxVersions || got[otherVersion] != 300-maxAnonymousVersions || got["1.32.0"] != 1 {
			t.Errorf("got %v", got)
		}
		m.stop(all...)
		all = nil
		connect("", "1.33.0") // in place of one that is gone
		if got := labels(); len(got) > maxVersions || got["1.33.0"] != 1 {
			t.Errorf("got %v", got)
		}
		m.stop(all...)
	})
}

// Somebody who proves nothing joins the class of proxies that do, and refuses, or takes, what is new.
func TestTheWordOfACallerWithoutProofDecidesNothingForOthers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, listener("l", "1"))
		stranger, proven := m.connectAs("", "10.0.0.1"), m.connectAs("a", "10.0.0.2")
		for _, c := range []*client{proven, stranger} {
			c.subscribe(resource.Listeners)
			c.ack(c.expect(resource.Listeners, "l"))
		}
		m.set(listener("l", "2"))
		stranger.nack(stranger.expect(resource.Listeners, "l"), "no")
		synctest.Wait()
		if len(m.problems) != 0 {
			t.Errorf("is reported: %v", m.problems)
		}
		if r := proven.expect(resource.Listeners, "l"); r.all()[0].Version != versions(listener("l", "2"))["l"] {
			t.Error("the proven proxy gets another version")
		} else {
			proven.ack(r)
		}
		proven.silent()
		m.set(listener("l", "3"))
		bad := proven.expect(resource.Listeners, "l")
		stranger.subscribe(resource.Listeners, "*")
		stranger.drain() // takes it
		proven.nack(bad, "Error adding/updating listener(s) l: bad")
		synctest.Wait()
		if len(m.problems) != 1 {
			t.Errorf("a stranger's acknowledgement stands against a proven refusal: %v", m.problems)
		}
		m.stop(stranger, proven)
	})
}

// A caller that names the ID of another's node takes nothing of what is remembered of it.
func TestANodesIDIsNoProof(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("c", 1), xdstest.Assignment("c", 1), listener("l", "1"))
		proven := m.connectAs("a", "10.0.0.2")
		proven.subscribe(resource.Listeners)
		proven.expect(resource.Listeners, "l") // unanswered, so it is not to be trusted in it
		stranger := m.connectAs("", "10.0.0.1")
		stranger.subscribe(resource.Clusters)
		synctest.Wait()
		proven.close()
		synctest.Wait()
		stranger.close()
		synctest.Wait()
		again := m.connectAs("a", "10.0.0.2")
		again.ask(resource.Listeners, query{initial: versions(listener("l", "1"))})
		time.Sleep(4 * time.Second) // listeners wait for clusters that were not asked for
		again.expect(resource.Listeners, "l")
		m.stop(stranger, proven, again)
	})
}

func TestAStreamThatAsksForNothingEnds(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1))
		c := m.connectAs("", "10.0.0.1")
		time.Sleep(29 * time.Second)
		if got := c.refused(); got != codes.OK {
			t.Errorf("too early: %v", got)
		}
		time.Sleep(2 * time.Second)
		if got := c.refused(); got != codes.DeadlineExceeded {
			t.Errorf("got %v", got)
		}
		m.stop(c)
	})
}

func TestNodeIsBoundedBeforeItIsDecoded(t *testing.T) {
	for size, want := range map[int]bool{maxNode / 2: true, maxNode + 1: false} {
		node := nodeOf("ns", "1.32.0")
		node.Metadata.Fields["OTHER"] = structpb.NewStringValue(strings.Repeat("x", size))
		b, err := proto.Marshal(&discoveryv3.DeltaDiscoveryRequest{Node: node})
		if err != nil {
			t.Fatal(err)
		}
		r := &request{delta: true, raw: b}
		if _, err := r.node(); (err == nil) != want {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
