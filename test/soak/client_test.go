package soak

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/structpb"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// temper is how a client behaves.
type temper int

const (
	steady   temper = iota // takes all, and stays
	refusing               // refuses some of what is not a cluster
	stalling               // does not read at times
	passing                // comes and goes
	tempers
)

// client is one proxy.
type client struct {
	index  int
	temper temper
	sotw   bool
	conn   *grpc.ClientConn
	rng    *rand.Rand
	node   *corev3.Node

	// generation is that of the last edit that it has seen, for those that stay.
	generation atomic.Int64
	did        *counts
	has        map[string]map[string]string // versions by name, by type, for the next stream
	assigned   map[string]bool              // load assignments that it wants
}

// counts are what all clients did together, and how many pages and answers over ADS were read.
type counts struct{ streams, responses, refusals, pages, answers atomic.Int64 }

func newClient(i int, conn *grpc.ClientConn, namespace string, seed uint64, did *counts) *client {
	metadata, _ := structpb.NewStruct(map[string]any{ // it has strings only
		"NAMESPACE": namespace, "ISTIO_VERSION": "1.30.0", "LABELS": map[string]any{"app": fmt.Sprintf("svc-%d", i%8)},
	})
	return &client{
		index: i, sotw: i%3 == 2, conn: conn, rng: rand.New(rand.NewPCG(seed, uint64(i))),
		node: &corev3.Node{
			Id:       fmt.Sprintf("sidecar~10.9.%d.%d~soak-%d.%s~%s.svc.cluster.local", i/250, i%250+1, i, namespace, namespace),
			Metadata: metadata,
		},
		has: map[string]map[string]string{}, assigned: map[string]bool{}, did: did,
	}
}

// run keeps the client connected until ctx ends.
func (c *client) run(ctx context.Context) {
	for ctx.Err() == nil {
		one, cancel := context.WithCancel(ctx)
		if c.temper == passing {
			one, cancel = context.WithTimeout(ctx, time.Duration(50+c.rng.IntN(2000))*time.Millisecond)
		}
		_ = c.stream(one) // a stream may end at any time, by this client or the server
		cancel()
		pause(ctx, time.Duration(c.rng.IntN(300))*time.Millisecond)
	}
}

// pause rests, unless ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// routes are the route configurations that a client asks for.
var routes = []string{"80", "8080"}

// stream is one stream's life.
func (c *client) stream(ctx context.Context) error {
	open := openDelta
	if c.sotw {
		open = openStateOfTheWorld
	}
	w, err := open(ctx, c.conn, c.node)
	if err != nil {
		return err
	}
	c.did.streams.Add(1)
	c.assigned = map[string]bool{}
	if c.sotw || c.rng.IntN(3) == 0 { // it has forgotten everything
		c.has = map[string]map[string]string{}
	}
	for _, first := range []request{
		{url: xdsres.Clusters.URL()},
		{url: xdsres.Listeners.URL()},
		{url: xdsres.Routes.URL(), added: routes, all: routes},
		{url: xdsres.NameTables.URL()},
		{url: xdsres.TrustBundles.URL()},
	} {
		first.has = c.has[first.url]
		if err := w.send(first); err != nil {
			return err
		}
	}
	for {
		r, err := w.recv()
		if err != nil {
			return err
		}
		c.did.responses.Add(1)
		if c.temper == stalling && c.rng.IntN(20) == 0 {
			pause(ctx, time.Duration(c.rng.IntN(3000))*time.Millisecond)
		}
		if err := c.take(w, &r); err != nil {
			return err
		}
	}
}

// take answers a response.
func (c *client) take(w wire, r *response) error {
	answer := request{url: r.url, nonce: r.nonce, version: r.version}
	if r.url == xdsres.Routes.URL() {
		answer.all = routes
	}
	if answer.refusal = c.refusal(r); answer.refusal == "" {
		c.keep(r)
	} else {
		c.did.refusals.Add(1)
	}
	if r.url == xdsres.Endpoints.URL() {
		answer.all = c.names()
	}
	if err := w.send(answer); err != nil || r.url != xdsres.Clusters.URL() {
		return err
	}
	added, gone := c.clusters(r)
	if len(added)+len(gone) == 0 {
		return nil
	}
	return w.send(request{url: xdsres.Endpoints.URL(), added: added, gone: gone, all: c.names()})
}

func (c *client) names() []string {
	var out []string
	for name := range c.assigned {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// refusal gives why the client refuses a response, "" where it does not. Clusters it takes, since these tell of
// progress.
func (c *client) refusal(r *response) string {
	if c.temper != refusing || r.url == xdsres.Clusters.URL() || len(r.resources) == 0 || c.rng.IntN(4) > 0 {
		return ""
	}
	if r.url != xdsres.Listeners.URL() {
		return "refused at random"
	}
	l := &listenerv3.Listener{}
	if r.resources[c.rng.IntN(len(r.resources))].body.UnmarshalTo(l) != nil {
		return "no listener"
	}
	return "Error adding/updating listener(s) " + l.GetName() + ": refused at random"
}

// keep notes what the client has.
func (c *client) keep(r *response) {
	if c.sotw {
		return
	}
	if c.has[r.url] == nil {
		c.has[r.url] = map[string]string{}
	}
	for _, res := range r.resources {
		c.has[r.url][res.name] = res.version
	}
	for _, name := range r.removed {
		delete(c.has[r.url], name)
	}
}

// clusters reads clusters: which load assignments they want, and of which edit the marked one is.
func (c *client) clusters(r *response) (added, gone []string) {
	wanted := map[string]bool{}
	for _, res := range r.resources {
		cl := &clusterv3.Cluster{}
		if res.body.UnmarshalTo(cl) != nil {
			continue
		}
		if cl.GetName() == markedCluster {
			if g := cl.GetConnectTimeout().AsDuration().Milliseconds() - firstTimeout; g > c.generation.Load() {
				c.generation.Store(g)
			}
		}
		if cl.GetType() == clusterv3.Cluster_EDS {
			name := cl.GetEdsClusterConfig().GetServiceName()
			if name == "" {
				name = cl.GetName()
			}
			wanted[name] = true
		}
	}
	for name := range wanted {
		if !c.assigned[name] {
			c.assigned[name] = true
			added = append(added, name)
		}
	}
	for name := range c.assigned {
		if c.sotw && !wanted[name] || slices.Contains(r.removed, name) {
			delete(c.assigned, name)
			gone = append(gone, name)
		}
	}
	return added, gone
}
