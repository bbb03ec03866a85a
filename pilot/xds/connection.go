package xds

import (
	"cmp"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
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
	Types     [push.NumTypes]TypeStatus
}

// Proxy gives pod.namespace.
func (c Connection) Proxy() string { return c.Node.Name + "." + c.Node.Namespace }

func (c Connection) compare(o Connection) int {
	return cmp.Or(strings.Compare(c.Proxy(), o.Proxy()), c.Connected.Compare(o.Connected))
}

func (s *stream) connection() Connection {
	var rejected [push.NumTypes]bool
	for t := range push.NumTypes {
		rejected[t] = s.client.Rejected(t)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := Connection{
		ID: s.id, Node: s.client.Node(), Identity: s.identity, Peer: s.peer, Delta: s.wire.delta(),
		Connected: s.connected, View: s.update.View,
	}
	for t, w := range s.watches {
		c.Types[t] = TypeStatus{State: StateIgnored, Since: s.connected}
		if w != nil {
			c.Types[t] = w.report(s.connected, rejected[t])
		}
	}
	return c
}
