package push

import (
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/trace"
	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

// Client is one connected proxy's place among the views.
type Client struct {
	engine    *Engine
	node      *Node
	seat      *build.Seat
	untrusted Untrusted
	changed   func(*Update)

	// The engine's mutex guards them.
	class *classState
	doubt string  // of the seat
	last  *Update // that changed was called with; nil for none
}

// Update is a view, and what led to it.
type Update struct {
	*View
	cause
	// Trials are resources of the view that the client is asked about: the engine has to be told if it takes
	// them. There are none unless a proxy has rejected something.
	Trials []*resource.Resource
	// Seen is what had been seen of the API server when the view was offered; nil for files.
	Seen seen.Versions
	// Doubt says why the Pod that the client names is not its own; "" where nothing does. Its class is then that of the
	// Pod that it is, or of none.
	Doubt string
}

// cause is what leads to a view. It is the zero one for a client's first, and for what a rejection leads to.
type cause struct {
	Since  time.Time     // when the oldest event arrived
	Change *trace.Change // follows the commit; nil for nobody
}

// Node gives the proxy as it described itself.
func (c *Client) Node() *Node { return c.node }

// Untrusted tells which of the proxy's claims about what it holds are not to be trusted.
func (c *Client) Untrusted() Untrusted { return c.untrusted }

func (c *Client) name() string { return c.node.Name + "." + c.node.Namespace }

// Took tells that the proxy runs one of its trials.
func (c *Client) Took(r *resource.Resource) {
	e := c.engine
	e.state.RLock() // of which it may be asked what patches there are
	defer e.state.RUnlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if c.class.took(c, r, e.pool) {
		c.class.publish(cause{}, e.pool)
		e.report()
	}
}

// Close ends the registration. untrusted is kept for the proxy's next stream.
func (c *Client) Close(untrusted Untrusted) {
	e := c.engine
	e.mu.Lock()
	defer e.mu.Unlock()
	delete(c.class.clients, c)
	delete(e.seats, c.seat)
	e.leaving.Leave(c.seat)
	if c.class.release(c) {
		c.class.publish(cause{}, e.pool)
	}
	if len(c.class.clients) == 0 {
		e.left, e.emptied = true, true
	}
	if len(untrusted) > 0 {
		e.remembered(c.node).put(c.node, untrusted)
	}
}

// Reject tells that the proxy rejected a resource. Where no proxy has accepted it, the parts that are at
// fault are looked for and left out, or the class goes back to the last accepted version. The objects
// that the fault came from are reported.
func (c *Client) Reject(r *resource.Resource, detail string) {
	e := c.engine
	e.state.RLock()
	defer e.state.RUnlock()
	e.mu.Lock()
	defer e.mu.Unlock()
	if !c.class.reject(c, r, detail, e.pool, e.elsewhere) {
		return
	}
	c.class.publish(cause{}, e.pool)
	e.report()
}

// patching gives the patches that concern what the client got, in the present state.
func (c *Client) patching(r *resource.Resource, part proto.Message) []model.MadeOf {
	return c.engine.translator.Patching(&c.class.class, r, part)
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

// offer hands over a view with what of it the client is asked about, and tells whether the client had another, or
// another doubt. It is called under the engine's mutex.
func (c *Client) offer(v *View, trials []*resource.Resource, by cause) bool {
	if c.last != nil && c.last.View == v && c.last.Doubt == c.doubt {
		return false
	}
	c.last = &Update{View: v, cause: by, Trials: trials, Seen: c.engine.seen, Doubt: c.doubt}
	c.changed(c.last)
	return true
}
