// Package ads simulates proxies: each client is one ADS stream on a connection of its own, delta
// or state of the world, which asks, acknowledges and waits as an Envoy does. It parses names and
// versions only, and decodes each distinct cluster and listener once for all clients.
package ads

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/h2"
)

// Node is a proxy's description of itself, and which protocol it speaks.
type Node struct {
	Envoy       []byte // a marshalled core.v3.Node
	Namespace   string
	Account     string // service account, by which a workload is known
	SotW        bool
	Certificate *tls.Certificate // with which it proves its identity; nil for none
}

// Client is one proxy. Whoever reads its stream owns all fields but the atomic ones.
type Client struct {
	fleet   *Fleet
	index   int
	node    Node
	stream  *h2.Stream
	resp    response
	scratch []byte // of requests
	types   [kinds]subscription
	// warming are load assignments of clusters that are new or changed, until they come; the
	// acknowledgement of the clusters waits for them, and so do listeners at the start.
	warming  map[string]struct{}
	withheld []acknowledgement
	// listeners are what follows from each listener.
	listeners map[string]*facts

	messages atomic.Int64 // received
	synced   atomic.Int64 // when everything that was asked for had come, Unix ns; 0 for not yet
	tape     atomic.Pointer[Tape]
}

// subscription is what a client asked for and has of one type. A name in held with version "" is
// asked for and has not come.
type subscription struct {
	asked   bool // on this stream
	started bool // a response has come on this stream
	held    map[string]string
	missing int // names of held without a version
	version []byte
	nonce   []byte
}

// acknowledgement is one that is due.
type acknowledgement struct {
	kind           Kind
	version, nonce []byte
	marks          []*Mark
}

func newClient(f *Fleet, index int, n Node) *Client {
	c := &Client{fleet: f, index: index, node: n, warming: map[string]struct{}{}, listeners: map[string]*facts{}}
	for k := range c.types {
		c.types[k].held = map[string]string{}
	}
	return c
}

// run is one stream's life; what the client holds outlives it.
func (c *Client) run(ctx context.Context, address string) error {
	stream, err := c.open(ctx, address)
	if err != nil {
		return err
	}
	c.stream = stream
	if err := errors.Join(c.start(), stream.Flush()); err != nil {
		return errors.Join(err, stream.Close())
	}
	c.fleet.asking.Add(1)
	defer c.fleet.asking.Add(-1)
	if c.fleet.opts.TLS == nil {
		return c.fleet.poller(c.index).Watch(ctx.Done(), stream, h2.Handler{
			Message: c.receive, Idle: func() bool { return c.fleet.Stalls(c.index) },
		})
	}
	for {
		b, err := stream.Receive()
		if err == nil {
			err = c.receive(b)
		}
		if err != nil {
			return errors.Join(err, stream.Close())
		}
	}
}

// open connects. Not all clients do so at the same time: the kernel would drop some.
func (c *Client) open(ctx context.Context, address string) (*h2.Stream, error) {
	select {
	case c.fleet.opening <- struct{}{}:
		defer func() { <-c.fleet.opening }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	o := h2.Options{Address: address, Method: DeltaMethod, TLS: c.fleet.opts.TLS}
	if c.node.SotW {
		o.Method = SotWMethod
	}
	if c.node.Certificate != nil {
		o.TLS = o.TLS.Clone()
		o.TLS.Certificates = []tls.Certificate{*c.node.Certificate}
	}
	return h2.Open(ctx, o)
}

// start asks for everything that the client had on its former stream, in the order of types; a
// new client asks for clusters only.
func (c *Client) start() error {
	c.withheld = nil
	clear(c.warming)
	again := false
	for k := range c.types {
		t := &c.types[k]
		t.asked, t.started, t.nonce = false, false, nil
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
	r := request{kind: k, held: t.held}
	if k == Clusters {
		r.node = c.node.Envoy
	}
	if k.named() {
		r.subscribe = names(t.held)
	}
	if c.node.SotW {
		r.version = t.version
	}
	return c.send(&r)
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
		return c.send(&request{kind: k, version: t.version, nonce: t.nonce, subscribe: names(t.held)})
	}
	return c.send(&request{kind: k, subscribe: added, unsubscribe: gone})
}

// acknowledge sends an ACK, and tells those who wait for it.
func (c *Client) acknowledge(a *acknowledgement) error {
	r := request{kind: a.kind, nonce: a.nonce}
	if c.node.SotW {
		r.version = a.version
		if a.kind.named() {
			r.subscribe = names(c.types[a.kind].held)
		}
	}
	err := c.send(&r)
	now := time.Now()
	for _, m := range a.marks {
		m.hit(c.index, now)
	}
	c.fleet.active(now)
	return err
}

func (c *Client) send(r *request) error {
	b := r.append(c.scratch[:0], !c.node.SotW)
	if c.scratch = b; cap(b) > largeRequest {
		c.scratch = nil
	}
	c.fleet.up.Add(int64(len(b)))
	return c.stream.Send(b)
}

// largeRequest is from where on a client does not keep the memory of its request.
const largeRequest = 4 << 10
