package xds

import (
	"context"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestHeldVersionsAreNotSentAgain(t *testing.T) {
	bubble(t, func(t *testing.T) {
		all := []xdstest.Message{cluster("a", 1), xdstest.Assignment("a", 1), listener("l", "x"), route("80", "x")}
		m := newMesh(t, all...)
		c := m.start([]string{"a"}, []string{"80"})
		m.set(append(all, cluster("b", 1))...) // an unrelated change
		c.ack(c.expect(resource.Clusters, "b"))
		c.silent()
		m.stop(c)

		restarted := newMesh(t, append(all, cluster("b", 1))...)
		c = restarted.connect(false, 10)
		c.ask(resource.Clusters, query{initial: versions(all[0], cluster("b", 1))})
		c.ask(resource.Endpoints, query{subscribe: []string{"a"}, initial: versions(all[1])})
		c.ask(resource.Listeners, query{initial: versions(all[2])})
		c.ask(resource.Routes, query{subscribe: []string{"80"}, initial: versions(all[3])})
		c.silent()
		for _, conn := range restarted.server.Connections() {
			for _, typ := range []resource.Type{resource.Clusters, resource.Endpoints, resource.Listeners, resource.Routes} {
				if s := conn.Types[typ]; s.State != StateSynced || s.Sent == "" || s.Sent != s.Acked {
					t.Errorf("%s: %+v", typ, s)
				}
			}
			if conn.Types[resource.NameTables].State != StateIgnored {
				t.Error("the name table was not asked for")
			}
		}
		restarted.stop(c)
	})
}

func TestWhatWasRemovedMeanwhileIsRemovedAfterAReconnect(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1), listener("l", "x"))
		c := m.connect(false, 10)
		defer m.stop(c)
		c.ask(resource.Clusters, query{initial: versions(cluster("a", 1), cluster("gone", 1))})
		c.ask(resource.Listeners, query{initial: versions(listener("l", "x"), listener("gone", "x"))})
		r := c.expect(resource.Listeners)
		if len(r.removed) != 1 || r.removed[0] != "gone" {
			t.Errorf("removed %v", r.removed)
		}
		c.ack(r)
		time.Sleep(11 * time.Second)
		if r := c.expect(resource.Clusters); len(r.removed) != 1 || r.removed[0] != "gone" {
			t.Errorf("removed %v", r.removed)
		}
	})
}

func TestStalledClientDelaysNobodyAndIsEnded(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, xdstest.Assignment("a", 1))
		stalled := m.connect(false, 0) // reads nothing
		stalled.subscribe(resource.Endpoints, "a")
		lazy := m.connect(false, 10) // reads and acknowledges nothing
		lazy.subscribe(resource.Endpoints, "a")
		good := m.connect(false, 10)
		good.subscribe(resource.Endpoints, "a")
		good.ack(good.expect(resource.Endpoints, "a"))
		for port := range uint32(10) {
			m.set(xdstest.Assignment("a", 100+port))
			good.ack(good.expect(resource.Endpoints, "a"))
		}
		if len(lazy.out) != 1 {
			t.Errorf("%d responses wait for a client that acknowledges none", len(lazy.out))
		}
		time.Sleep(30 * time.Second)
		for _, c := range []*client{stalled, lazy} {
			synctest.Wait()
			select {
			case err := <-c.ended:
				if status.Code(err) != codes.DeadlineExceeded {
					t.Errorf("ended by %v", err)
				}
			default:
				t.Error("a stalled stream goes on")
			}
		}
		good.silent()
		m.stop(stalled, lazy, good)
	})
}

func TestLatestStateWinsOverAQueue(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, xdstest.Assignment("a", 1))
		c := m.connect(false, 10)
		defer m.stop(c)
		c.subscribe(resource.Endpoints, "a")
		r := c.expect(resource.Endpoints, "a")
		for port := range uint32(50) {
			m.set(xdstest.Assignment("a", 100+port))
		}
		c.silent()
		c.ack(r)
		r = c.expect(resource.Endpoints, "a")
		if v := versions(xdstest.Assignment("a", 149)); r.all()[0].Version != v["a"] {
			t.Error("not the latest state is sent")
		}
		c.ack(r)
		c.silent()
	})
}

func TestNodeMustMatchTheIdentity(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t)
		for id, says := range map[Identity]string{ // what a refusal says; "" where there is none
			{Namespace: "other", ServiceAccount: "sa"}:              `namespace "ns"`,
			{Namespace: "ns", ServiceAccount: "sa"}:                 "",
			{Namespace: "ns", ServiceAccount: "sa", Pod: "pod"}:     "",
			{Namespace: "ns", ServiceAccount: "sa", Pod: "another"}: `bound to pod "another"`,
		} {
			want := codes.Canceled
			if says != "" {
				want = codes.PermissionDenied
			}
			ctx, cancel := context.WithCancel(t.Context())
			c := &client{t: t, in: make(chan []byte, 1), out: make(chan *response, 9), ctx: ctx, close: cancel}
			c.subscribe(resource.Clusters)
			ended := make(chan error, 1)
			go func() {
				ended <- m.server.serve(ctx, c, func(context.Context) (Identity, error) { return id, nil })
			}()
			synctest.Wait()
			cancel() // which is too late for a stream that was refused
			err := <-ended
			if err != nil && status.Code(err) != want && !strings.Contains(err.Error(), "canceled") {
				t.Errorf("%v: ended by %v", id, err)
			}
			if says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
				t.Errorf("does not say what differs: %v", err)
			}
		}
		m.server.Wait()
	})
}

func TestSotW(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1), cluster("b", 1), xdstest.Assignment("a", 1), xdstest.Assignment("b", 1))
		c := m.connect(true, 10)
		defer m.stop(c)
		c.subscribe(resource.Listeners)
		c.ack(c.expect(resource.Listeners))
		c.subscribe(resource.Clusters)
		first := c.expect(resource.Clusters, "a", "b")
		c.ack(first)
		c.subscribe(resource.Endpoints, "a", "b")
		eds := c.expect(resource.Endpoints, "a", "b")
		c.ask(resource.Endpoints, query{nonce: nonceOf(eds), names: []string{"a", "b"}})
		c.silent()
		m.set(cluster("a", 1), cluster("b", 1), xdstest.Assignment("a", 2), xdstest.Assignment("b", 1))
		part := c.expect(resource.Endpoints, "a") // endpoints may be partial
		c.ask(resource.Endpoints, query{nonce: nonceOf(eds), names: []string{"a"}})
		c.silent() // stale
		c.ask(resource.Endpoints, query{nonce: nonceOf(part), names: []string{"a", "b", "c"}})
		c.expect(resource.Endpoints, "c")
		m.set(cluster("a", 1), cluster("new", 1), xdstest.Assignment("a", 2))
		all := c.expect(resource.Clusters, "a", "new", "b") // b stays until nothing points at it
		c.ack(all)
		time.Sleep(11 * time.Second)
		c.expect(resource.Clusters, "a", "new")
	})
}

func TestSotWReconnectWithAForeignNonce(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1))
		c := m.connect(true, 10)
		defer m.stop(c)
		c.ask(resource.Clusters, query{nonce: "of another server"})
		c.expect(resource.Clusters, "a")
	})
}

func TestUnknownTypesAreIgnored(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1))
		c := m.connect(false, 10)
		defer m.stop(c)
		c.askURL("type.googleapis.com/istio.mesh.v1alpha1.Unknown", query{})
		c.silent()
		c.subscribe(resource.Clusters)
		c.expect(resource.Clusters, "a")
	})
}

func TestOverGRPC(t *testing.T) {
	engine := push.New(push.Options{})
	server := New(Options{Source: engine, Logger: discard})
	if err := engine.Apply(t.Context(), push.Commit{Translator: xdstest.Table{cluster("a", 1)}}); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.ForceServerCodecV2(Codec()))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, server.Service(nil))
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	defer func() {
		g.Stop()
		server.Wait()
		<-done
	}()
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ads := discoveryv3.NewAggregatedDiscoveryServiceClient(conn)
	delta, err := ads.DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := delta.Send(&discoveryv3.DeltaDiscoveryRequest{Node: testNode, TypeUrl: resource.Clusters.URL()}); err != nil {
		t.Fatal(err)
	}
	d, err := delta.Recv()
	if err != nil || len(d.GetResources()) != 1 || d.GetResources()[0].GetName() != "a" || d.GetTypeUrl() != resource.Clusters.URL() || d.GetNonce() == "" {
		t.Fatalf("got %v, %v", d, err)
	}
	sotw, err := ads.StreamAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := sotw.Send(&discoveryv3.DiscoveryRequest{Node: testNode, TypeUrl: resource.Clusters.URL()}); err != nil {
		t.Fatal(err)
	}
	s, err := sotw.Recv()
	if err != nil || len(s.GetResources()) != 1 || s.GetResources()[0].GetTypeUrl() != resource.Clusters.URL() || s.GetVersionInfo() == "" {
		t.Fatalf("got %v, %v", s, err)
	}
}
