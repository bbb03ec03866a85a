package xds

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

func cluster(name string, seconds int) xdstest.Message {
	return xdstest.Message{Type: resource.Clusters, Name: name, Body: &clusterv3.Cluster{
		Name: name, ConnectTimeout: durationpb.New(time.Duration(seconds) * time.Second),
		ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
	}}
}

func listener(name, stat string) xdstest.Message {
	return xdstest.Message{Type: resource.Listeners, Name: name, Body: &listenerv3.Listener{Name: name, StatPrefix: stat}}
}

func route(name, host string) xdstest.Message {
	return xdstest.Message{Type: resource.Routes, Name: name, Body: &routev3.RouteConfiguration{
		Name: name, VirtualHosts: []*routev3.VirtualHost{{Name: host, Domains: []string{host}}},
	}}
}

// mesh is a server with its engine, in a synctest bubble.
type mesh struct {
	t        *testing.T
	engine   *push.Engine
	server   *Server
	problems []model.Problem
	says     metadata.MD // of callers that connect
}

func newMesh(t *testing.T, messages ...xdstest.Message) *mesh {
	m := &mesh{t: t}
	m.engine = push.New(push.Options{Report: func(p []model.Problem) { m.problems = p }})
	m.server = New(Options{
		Source: m.engine, Logger: discard, AckTimeout: 20 * time.Second,
		WarmingTimeout: 3 * time.Second, RemovalGrace: 10 * time.Second,
	})
	m.set(messages...)
	return m
}

// set makes the mesh's state these messages.
func (m *mesh) set(messages ...xdstest.Message) {
	m.t.Helper()
	if err := m.engine.Apply(m.t.Context(), push.Commit{Translator: xdstest.Table(messages), Since: time.Now()}); err != nil {
		m.t.Fatal(err)
	}
}

// client is one stream as a proxy sees it.
type client struct {
	t     *testing.T
	in    chan []byte
	out   chan *response
	ctx   context.Context
	close context.CancelFunc
	ended chan error
	sotw  bool
	self  *corev3.Node // nil for testNode
	// linger keeps each send from returning until something comes; nil for not at all.
	linger chan struct{}
	former []byte // the last request
}

func (c *client) delta() bool { return !c.sotw }

func (c *client) message(proto.Message) error { return errors.New("no question was expected") }

func (c *client) recv(r *request) error {
	select {
	case b := <-c.in:
		for i := range c.former { // its room may be another's by now
			c.former[i] = 'x'
		}
		c.former = slices.Clone(b)
		r.delta, r.raw = !c.sotw, c.former
		return r.parse()
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

func (c *client) send(r *response) error {
	select {
	case c.out <- r:
		if c.linger != nil {
			<-c.linger
		}
		return nil
	case <-c.ctx.Done():
		return c.ctx.Err()
	}
}

// connect opens a stream with room for buffer responses that the client does not read.
func (m *mesh) connect(sotw bool, buffer int) *client {
	ctx, cancel := context.WithCancel(m.t.Context())
	c := &client{t: m.t, in: make(chan []byte, 16), out: make(chan *response, buffer), ctx: ctx, close: cancel, ended: make(chan error, 1), sotw: sotw}
	go func() {
		c.ended <- m.server.serve(ctx, c, nil)
		cancel()
	}()
	return c
}

// stop ends all streams of the test.
func (m *mesh) stop(clients ...*client) {
	for _, c := range clients {
		c.close()
	}
	m.server.Wait()
	synctest.Wait() // the handlers have let go of their clients as well, and kept what is suspect
}

var testNode = &corev3.Node{Id: "sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local"}

// query is a request as a test writes it down.
type query struct {
	nonce                  string
	refused                bool
	detail                 string
	subscribe, unsubscribe []string
	initial                map[string]string
	names                  []string // state of the world
	group                  string   // that the client wants to be registered by
	self                   *corev3.Node
}

// node gives what the client says of itself.
func (q query) node() *corev3.Node {
	if q.self != nil {
		return q.self
	}
	if q.group == "" {
		return testNode
	}
	fields := map[string]*structpb.Value{"AUTO_REGISTER_GROUP": structpb.NewStringValue(q.group)}
	return &corev3.Node{Id: testNode.Id, Metadata: &structpb.Struct{Fields: fields}}
}

func (q query) message(url string, sotw bool) proto.Message {
	var detail *status.Status
	if q.refused {
		detail = &status.Status{Message: q.detail}
	}
	if sotw {
		return &discoveryv3.DiscoveryRequest{
			Node: q.node(), TypeUrl: url, ResourceNames: q.names, ResponseNonce: q.nonce, ErrorDetail: detail,
		}
	}
	return &discoveryv3.DeltaDiscoveryRequest{
		Node: q.node(), TypeUrl: url, ResourceNamesSubscribe: q.subscribe, ResourceNamesUnsubscribe: q.unsubscribe,
		InitialResourceVersions: q.initial, ResponseNonce: q.nonce, ErrorDetail: detail,
	}
}

// ask sends a request for a type.
func (c *client) ask(t resource.Type, q query) { c.askURL(t.URL(), q) }

func (c *client) askURL(url string, q query) {
	q.self = c.self
	b, err := proto.Marshal(q.message(url, c.sotw))
	if err != nil {
		c.t.Fatal(err)
	}
	c.in <- b
}

func nonceOf(r *response) string { return string(appendNonce(nil, r.stream, r.nonce)) }

func (c *client) subscribe(t resource.Type, names ...string) {
	c.ask(t, query{subscribe: names, names: names})
}

func (c *client) ack(r *response) { c.ask(r.typ, query{nonce: nonceOf(r)}) }

func (c *client) nack(r *response, detail string) {
	c.ask(r.typ, query{nonce: nonceOf(r), refused: true, detail: detail})
}

// expect gives the next response, which must hold exactly these resources.
func (c *client) expect(t resource.Type, names ...string) *response {
	c.t.Helper()
	synctest.Wait()
	select {
	case r := <-c.out:
		if got := namesOf(r.all()); r.typ != t || !slices.Equal(got, names) && len(got)+len(names) > 0 {
			c.t.Fatalf("got %s %v (removed %v), want %s %v", r.typ, got, r.removed, t, names)
		}
		return r
	default:
		c.t.Fatalf("got nothing, want %s %v", t, names)
		return nil
	}
}

// silent asserts that nothing is sent.
func (c *client) silent() {
	c.t.Helper()
	synctest.Wait()
	select {
	case r := <-c.out:
		c.t.Fatalf("got %s %v (removed %v), want silence", r.typ, namesOf(r.all()), r.removed)
	default:
	}
}

// start brings a delta client to where it has all types and has acknowledged them.
func (m *mesh) start(eds, rds []string) *client {
	m.t.Helper()
	c := m.connect(false, 100)
	c.subscribe(resource.Clusters)
	c.drain()
	c.subscribe(resource.Endpoints, eds...)
	c.drain()
	c.subscribe(resource.Listeners)
	c.drain()
	c.subscribe(resource.Routes, rds...)
	c.drain()
	return c
}

// drain acknowledges whatever comes until nothing does.
func (c *client) drain() {
	c.t.Helper()
	for {
		synctest.Wait()
		select {
		case r := <-c.out:
			c.ack(r)
		default:
			return
		}
	}
}

// bubble runs a test on a fake clock.
func bubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, test)
}

var discard = slog.New(slog.DiscardHandler)

// versions gives what a client would claim after a break.
func versions(messages ...xdstest.Message) map[string]string {
	out := map[string]string{}
	for _, m := range messages {
		r, err := resource.New(m.Type, m.Name, m.Body)
		if err != nil {
			panic(err)
		}
		out[m.Name] = r.Version
	}
	return out
}
