package push

import (
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// Client is one connected proxy's place among the views.
type Client struct {
	engine    *Engine
	node      *Node
	seat      *build.Seat
	untrusted Untrusted
	changed   func(*Update)

	// The engine's mutex guards both.
	class *classState
	view  *View // the last that changed was called with
}

// Update is a view and when the oldest event that led to it arrived; zero for a client's first.
type Update struct {
	*View
	Since time.Time
}

// Node gives the proxy as it described itself.
func (c *Client) Node() *Node { return c.node }

// Untrusted tells which of the proxy's claims about what it holds are not to be trusted.
func (c *Client) Untrusted() Untrusted { return c.untrusted }

// Close ends the registration. untrusted is kept for the proxy's next stream.
func (c *Client) Close(untrusted Untrusted) {
	e := c.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(c.class.clients, c)
	delete(e.seats, c.seat)
	e.leaving.Leave(c.seat)
	if len(c.class.clients) == 0 {
		e.left, e.emptied = true, true
	}
	if len(untrusted) > 0 {
		e.remembered(c.node).put(c.node, untrusted)
	}
}

// Reject tells that the proxy refused a resource. Where no proxy has accepted it, the class goes
// back to the last accepted version and the objects that it came from are reported.
func (c *Client) Reject(r *resource.Resource, detail string) {
	e := c.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	if !c.class.reject(r, c.node.Name+"."+c.node.Namespace, detail, e.pool) {
		return
	}
	c.class.publish(time.Time{})
	e.report()
}

// Rejected tells whether a resource of the type is out of service for the client's class.
func (c *Client) Rejected(t resource.Type) bool {
	c.engine.mu.Lock()
	defer c.engine.mu.Unlock()
	for id := range c.class.rejected {
		if id.typ == t {
			return true
		}
	}
	return false
}

// offer hands over a view, and tells whether the client had another. It is called under the
// engine's mutex.
func (c *Client) offer(v *View, since time.Time) bool {
	if c.view == v {
		return false
	}
	c.view = v
	c.changed(&Update{View: v, Since: since})
	return true
}
