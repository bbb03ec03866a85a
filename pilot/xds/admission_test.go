package xds

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/sync/semaphore"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// slowSource takes a second to make a proxy known, and counts at how many it works.
type slowSource struct {
	Source
	now, most atomic.Int32
}

func (s *slowSource) Connect(n *push.Node, changed func(*push.Update)) (*push.Client, error) {
	s.most.Store(max(s.most.Load(), s.now.Add(1)))
	defer s.now.Add(-1)
	time.Sleep(time.Second)
	return s.Source.Connect(n, changed)
}

func TestStormOfNewStreamsIsTakenInAFewAtATime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1))
		slow := &slowSource{Source: m.engine}
		m.server.opts.Source = slow
		m.server.admission.places, m.server.shares.places = semaphore.NewWeighted(3), 3
		var all []*client
		for range 4 {
			all = append(all, m.connect(false, 10)) // says nothing and takes no place
		}
		for range 10 {
			c := m.connect(false, 10)
			c.subscribe(resource.Clusters)
			all = append(all, c)
		}
		synctest.Wait()
		gone := m.connect(false, 10) // comes last, and does not stay
		gone.subscribe(resource.Clusters)
		synctest.Wait()
		gone.close()
		time.Sleep(3500 * time.Millisecond)
		served := 0
		for _, c := range all {
			served += len(c.out)
		}
		if slow.most.Load() != 3 || served != 9 {
			t.Errorf("%d at once; %d are served after three rounds", slow.most.Load(), served)
		}
		time.Sleep(time.Second)
		for _, c := range all[4:] {
			c.ack(c.expect(resource.Clusters, "a"))
		}
		m.stop(all...)
	})
}

// An API server that does not answer what gateways may have keeps nobody but these waiting.
func TestNobodyWaitsForWhatGatewaysMayHave(t *testing.T) {
	bubble(t, func(t *testing.T) {
		m := newMesh(t, cluster("a", 1))
		m.server.admission.places, m.server.shares.places = semaphore.NewWeighted(2), 2
		m.server.opts.MayHaveSecrets = func(ctx context.Context, _ Identity, proxy *push.Node) bool {
			if proxy.Type == model.RouterProxy {
				<-ctx.Done()
			}
			return false
		}
		var all []*client
		connect := func(account string, node *corev3.Node) *client {
			ctx, cancel := context.WithCancel(m.t.Context())
			c := &client{t: t, in: make(chan []byte, 16), out: make(chan *response, 8), ctx: ctx, close: cancel, ended: make(chan error, 1), self: node}
			go func() {
				c.ended <- m.server.serve(ctx, c, func(context.Context) (Identity, error) {
					return Identity{Namespace: "ns", ServiceAccount: account}, nil
				})
				cancel()
			}()
			c.subscribe(resource.Clusters)
			all = append(all, c)
			return c
		}
		for i := range 4 {
			connect(fmt.Sprintf("gateway-%d", i), &corev3.Node{Id: "router~10.0.0.2~gateway.ns~ns.svc.cluster.local"})
		}
		synctest.Wait()
		c := connect("sidecar", testNode)
		c.ack(c.expect(resource.Clusters, "a"))
		m.stop(all...)
	})
}

func TestLargeResponsesTakeTurns(t *testing.T) {
	bubble(t, func(t *testing.T) {
		name := strings.Repeat("x", largeResponse) // it stands there twice
		m := newMesh(t, cluster(name, 1), listener("small", "1"))
		m.server.admission.turns = semaphore.NewWeighted(3 * largeResponse) // one at a time
		var all []*client
		for range 3 {
			c := m.connect(false, 10)
			c.subscribe(resource.Clusters)
			all = append(all, c)
		}
		other := m.connect(false, 10)
		other.subscribe(resource.Listeners)
		other.ack(other.expect(resource.Listeners, "small"))
		served := func() int { return len(all[0].out) + len(all[1].out) + len(all[2].out) }
		for i := range 3 {
			synctest.Wait()
			if served() != i+1 {
				t.Errorf("after %d turns %d are served", i, served())
			}
			time.Sleep(turnTime) // nothing is read: the turn passes on all the same
		}
		m.stop(append(all, other)...)
	})
}

func TestTurnEndsWhenTheResponseHasLeft(t *testing.T) {
	bubble(t, func(t *testing.T) {
		big, err := resource.New(resource.Clusters, "a", cluster(strings.Repeat("x", 2*largeResponse), 1).Body)
		if err != nil {
			t.Fatal(err)
		}
		a := newAdmission()
		s := &share{turns: semaphore.NewWeighted(turnBytes)}
		a.turns = semaphore.NewWeighted(3 * largeResponse)
		r := &response{typ: resource.Clusters, delta: true, resources: []*resource.Resource{big}}
		if err := a.acquireTurn(t.Context(), s, r); err != nil {
			t.Fatal(err)
		}
		wire := r.buffers()
		if a.turns.TryAcquire(2 * largeResponse) {
			t.Error("a second turn beside the first")
		}
		wire.Free()
		if !a.turns.TryAcquire(3 * largeResponse) {
			t.Error("the turn goes on though the response has left")
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := a.acquireTurn(ctx, s, r); !errors.Is(err, context.DeadlineExceeded) { // and the timer of the first gives nothing back
			t.Errorf("got %v", err)
		}
	})
}
