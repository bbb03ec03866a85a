package xds

import (
	"cmp"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// Connection describes a stream, for debugging.
type Connection struct {
	ID        string
	Node      *push.Node
	Identity  string // proven; empty on a plaintext port
	Peer      string // address
	Delta     bool
	Connected time.Time
	View      *push.View
	// Signer is the root of the proxy's certificate, by its fingerprint; "" where the agent does not say.
	Signer string
	Types  [resource.NumTypes]TypeStatus
	// Refusals are what is not in force for the proxy, since it or one like it refused that.
	Refusals push.Refusals

	stream *stream
}

// Proxy gives pod.namespace.
func (c Connection) Proxy() string { return c.Node.Name + "." + c.Node.Namespace }

func (c Connection) compare(o Connection) int {
	return cmp.Or(strings.Compare(c.Proxy(), o.Proxy()), c.Connected.Compare(o.Connected))
}

// Held walks through the resources of which the proxy has the version that it should have now, by
// type and name.
func (c Connection) Held() iter.Seq[*resource.Resource] {
	var out []*resource.Resource
	c.stream.mu.Lock()
	for _, w := range c.stream.watches {
		if w != nil {
			out = append(out, w.synced()...)
		}
	}
	c.stream.mu.Unlock()
	return slices.Values(out)
}

// Acknowledged gives the resource of a name if the proxy has acknowledged all that it was sent of the type, and with
// it the version that it should have now; else nil.
func (c Connection) Acknowledged(t resource.Type, name string) *resource.Resource {
	if c.stream.client.Rejected(t) {
		return nil
	}
	c.stream.mu.Lock()
	defer c.stream.mu.Unlock()
	w := c.stream.watches[t]
	if w == nil || len(w.inflight) > 0 || len(w.queue) > 0 {
		return nil
	}
	if r := w.base.Get(name); r != nil && w.holds(name) == heldOf(r) {
		return r
	}
	return nil
}

// synced gives what the client has in the view's version.
func (w *watch) synced() []*resource.Resource {
	waits := map[*resource.Resource]bool{}
	for _, p := range w.queue {
		for _, r := range p.Resources {
			waits[r] = true
		}
	}
	var out []*resource.Resource
	for r := range w.base.All() {
		if !waits[r] && w.holds(r.Name) == heldOf(r) {
			out = append(out, r)
		}
	}
	return out
}

func (s *stream) connection() Connection {
	var rejected [resource.NumTypes]bool
	for t := range resource.NumTypes {
		rejected[t] = s.client.Rejected(t)
	}
	refusals := s.client.Refusals()
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Connection{
		ID: s.id, Node: s.client.Node(), Identity: s.identity, Peer: s.peer, Delta: s.wire.delta(),
		Connected: s.connected, View: s.update.View, Signer: s.signer, Refusals: refusals, stream: s,
	}
	for t, w := range s.watches {
		c.Types[t] = TypeStatus{State: StateIgnored, Since: s.connected}
		if w != nil {
			c.Types[t] = w.report(s.connected, rejected[t])
		}
	}
	if s.watches[resource.Clusters] != nil {
		c.Types[resource.Clusters].Kept = s.kept()
	}
	return c
}
