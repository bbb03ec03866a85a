// Package ads simulates proxies: each client is one ADS stream on a connection of its own, delta
// or state of the world, which asks, acknowledges and waits as an Envoy does. It parses names and
// versions only, and decodes each distinct cluster and listener once for all clients.
package ads

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Node is a proxy's description of itself, and which protocol it speaks.
type Node struct {
	Envoy     *corev3.Node
	Namespace string
	SotW      bool
	Token     string // bearer token for a TLS server; "" for none
}

// Client is one proxy. Its stream's goroutine owns all fields but the atomic ones.
type Client struct {
	fleet  *Fleet
	index  int
	node   Node
	stream grpc.ClientStream
	resp   response
	types  [kinds]subscription
	// warming are load assignments of clusters that are new or changed, until they come; the
	// acknowledgement of the clusters waits for them, and so do listeners at the start.
	warming  map[string]struct{}
	withheld []acknowledgement
	// listeners are the route configurations that each listener names.
	listeners map[string][]string

	synced    atomic.Int64 // when everything that was asked for had come, Unix ns; 0 for not yet
	connected atomic.Bool
	down, up  atomic.Int64 // bytes of messages
	messages  atomic.Int64
	tape      atomic.Pointer[Tape]
}

// subscription is what a client asked for and has of one type. A name in held with version "" is
// asked for and has not come.
type subscription struct {
	asked   bool // on this stream
	started bool // a response has come on this stream
	held    map[string]string
	missing int // names of held without a version
	version string
	nonce   string
}

// acknowledgement is one that is due.
type acknowledgement struct {
	kind    Kind
	version string
	nonce   string
	marks   []*Mark
}

func newClient(f *Fleet, index int, n Node) *Client {
	c := &Client{fleet: f, index: index, node: n, warming: map[string]struct{}{}, listeners: map[string][]string{}}
	for k := range c.types {
		c.types[k].held = map[string]string{}
	}
	return c
}

// run is one stream's life; what the client holds outlives it.
func (c *Client) run(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	method := DeltaMethod
	if c.node.SotW {
		method = SotWMethod
	}
	stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return err
	}
	c.stream = stream
	if err := c.start(); err != nil {
		return err
	}
	c.connected.Store(true)
	defer c.connected.Store(false)
	for {
		var m Raw
		if err := stream.RecvMsg(&m); err != nil {
			return err
		}
		if err := c.fleet.gate(ctx, c.index); err != nil {
			m.Free()
			return err
		}
		c.down.Add(int64(len(m.Bytes)))
		c.messages.Add(1)
		err := c.receive(m.Bytes)
		m.Free()
		if err != nil {
			return err
		}
	}
}

// start asks for everything that the client had on its former stream, in the order of types; a
// new client asks for clusters only.
func (c *Client) start() error {
	c.withheld = nil
	clear(c.warming)
	again := false
	for k := range c.types {
		t := &c.types[k]
		t.asked, t.started, t.nonce = false, false, ""
		again = again || len(t.held) > 0
	}
	if !again {
		return c.ask(Clusters)
	}
	for k := range kinds {
		if t := &c.types[k]; len(t.held) > 0 {
			if err := c.ask(k); err != nil {
				return err
			}
		}
	}
	return nil
}

// ask sends a type's first request on the stream. On the first stream held is empty for types
// that are asked for as a whole, and holds the names without versions for the others.
func (c *Client) ask(k Kind) error {
	t := &c.types[k]
	t.asked = true
	var node *corev3.Node
	if k == Clusters {
		node = c.node.Envoy
	}
	named := k == Endpoints || k == Routes
	if c.node.SotW {
		r := &discoveryv3.DiscoveryRequest{Node: node, TypeUrl: k.URL(), VersionInfo: t.version}
		if named {
			r.ResourceNames = names(t.held)
		}
		return c.send(r)
	}
	r := &discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: k.URL()}
	if named {
		r.ResourceNamesSubscribe = names(t.held)
	}
	for name, version := range t.held {
		if version != "" {
			if r.InitialResourceVersions == nil {
				r.InitialResourceVersions = make(map[string]string, len(t.held))
			}
			r.InitialResourceVersions[name] = version
		}
	}
	return c.send(r)
}

func names(held map[string]string) []string {
	out := make([]string, 0, len(held))
	for name := range held {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// subscribe changes the names of a type that is asked for by name.
func (c *Client) subscribe(k Kind, added, gone []string) error {
	t := &c.types[k]
	switch {
	case !t.asked:
		return c.ask(k)
	case len(added) == 0 && len(gone) == 0:
		return nil
	case c.node.SotW:
		return c.send(&discoveryv3.DiscoveryRequest{
			TypeUrl: k.URL(), VersionInfo: t.version, ResponseNonce: t.nonce, ResourceNames: names(t.held),
		})
	}
	return c.send(&discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: k.URL(), ResourceNamesSubscribe: added, ResourceNamesUnsubscribe: gone,
	})
}

// acknowledge sends an ACK, and tells those who wait for it.
func (c *Client) acknowledge(a acknowledgement) error {
	var err error
	if c.node.SotW {
		r := &discoveryv3.DiscoveryRequest{TypeUrl: a.kind.URL(), VersionInfo: a.version, ResponseNonce: a.nonce}
		if a.kind == Endpoints || a.kind == Routes {
			r.ResourceNames = names(c.types[a.kind].held)
		}
		err = c.send(r)
	} else {
		err = c.send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: a.kind.URL(), ResponseNonce: a.nonce})
	}
	now := time.Now()
	for _, m := range a.marks {
		m.hit(c.index, now)
	}
	c.fleet.active(now)
	return err
}

func (c *Client) send(m proto.Message) error {
	b, err := proto.Marshal(m)
	if err != nil {
		return err
	}
	c.up.Add(int64(len(b)))
	return c.stream.SendMsg(&Raw{Bytes: b})
}
