package ads

import (
	"bytes"
	"fmt"
	"time"
)

// receive takes one response.
func (c *Client) receive(b []byte) error {
	c.fleet.down.Add(int64(len(b)))
	c.fleet.messages.Add(1)
	c.messages.Add(1)
	r := &c.resp
	if err := r.parse(b, !c.node.SotW); err != nil {
		return err
	}
	if !r.known {
		return fmt.Errorf("client %d: response of a type that was not asked for", c.index)
	}
	if tape := c.tape.Load(); tape != nil {
		tape.add(r, b)
	}
	t := &c.types[r.kind]
	t.started = true
	t.version, t.nonce = append(t.version[:0], r.version...), append(t.nonce[:0], r.nonce...)
	ack := &acknowledgement{kind: r.kind, version: t.version, nonce: t.nonce, marks: c.fleet.marksIn(r)}
	var err error
	switch r.kind {
	case Clusters:
		err = c.clusters(r, ack)
	case Endpoints:
		err = c.endpoints(r, ack)
	case Listeners:
		err = c.receiveListeners(r, ack)
	default:
		c.take(t, r)
		err = c.acknowledge(ack)
	}
	if err != nil {
		return err
	}
	return c.proceed()
}

// take notes what came of a type that is asked for by name.
func (c *Client) take(t *subscription, r *response) {
	for i := range r.resources {
		name := c.fleet.memory.word(r.resources[i].name)
		if former, asked := t.held[name]; asked {
			if former == "" {
				t.missing--
			}
			t.held[name] = c.version(&r.resources[i])
		}
	}
}

func (c *Client) version(r *resource) string {
	if c.node.SotW {
		return c.fleet.memory.fingerprint(r.value)
	}
	return c.fleet.memory.word(r.version)
}

// clusters takes a CDS response: it asks for the endpoints of new clusters, and acknowledges when
// all clusters are warm.
func (c *Client) clusters(r *response, ack *acknowledgement) error {
	t, eds := &c.types[Clusters], &c.types[Endpoints]
	gone := map[string]struct{}{}
	for _, b := range r.removed {
		gone[c.fleet.memory.word(b)] = struct{}{}
	}
	if c.node.SotW {
		for name := range t.held {
			gone[name] = struct{}{}
		}
	}
	var subscribe, unsubscribe []string
	for i := range r.resources {
		res := &r.resources[i]
		name, version := c.fleet.memory.word(res.name), c.version(res)
		delete(gone, name)
		if t.held[name] == version {
			continue // Envoy sees that nothing changed, and warms nothing
		}
		t.held[name] = version
		f, err := c.fleet.memory.of(Clusters, res.value)
		if err != nil {
			return err
		}
		if f.assignment == "" {
			continue
		}
		c.warming[f.assignment] = struct{}{}
		if _, asked := eds.held[f.assignment]; !asked {
			eds.held[f.assignment] = ""
			eds.missing++
			subscribe = append(subscribe, f.assignment)
		}
	}
	for name := range gone { // a cluster and its load assignment have the same name here
		delete(t.held, name)
		delete(c.warming, name)
		if version, asked := eds.held[name]; asked {
			if version == "" {
				eds.missing--
			}
			delete(eds.held, name)
			unsubscribe = append(unsubscribe, name)
		}
	}
	c.withheld = append(c.withheld, acknowledgement{
		kind: ack.kind, version: bytes.Clone(ack.version), nonce: bytes.Clone(ack.nonce), marks: ack.marks,
	})
	if len(subscribe) > 0 || len(unsubscribe) > 0 {
		if err := c.subscribe(Endpoints, subscribe, unsubscribe); err != nil {
			return err
		}
	}
	return nil
}

func (c *Client) endpoints(r *response, ack *acknowledgement) error {
	c.take(&c.types[Endpoints], r)
	for i := 0; i < len(r.resources) && len(c.warming) > 0; i++ {
		delete(c.warming, string(r.resources[i].name))
	}
	return c.acknowledge(ack)
}

// receiveListeners takes an LDS response and asks for the secrets and routes that its listeners name.
func (c *Client) receiveListeners(r *response, ack *acknowledgement) error {
	t := &c.types[Listeners]
	present := map[string]struct{}{}
	for i := range r.resources {
		res := &r.resources[i]
		name := c.fleet.memory.word(res.name)
		present[name] = struct{}{}
		f, err := c.fleet.memory.of(Listeners, res.value)
		if err != nil {
			return err
		}
		t.held[name], c.listeners[name] = c.version(res), f
	}
	for _, b := range r.removed {
		delete(t.held, string(b))
		delete(c.listeners, string(b))
	}
	if c.node.SotW {
		for name := range t.held {
			if _, ok := present[name]; !ok {
				delete(t.held, name)
				delete(c.listeners, name)
			}
		}
	}
	if err := c.acknowledge(ack); err != nil {
		return err
	}
	if err := c.follow(Secrets, func(f *facts) []string { return f.secrets }); err != nil {
		return err
	}
	return c.follow(Routes, func(f *facts) []string { return f.routes })
}

// follow asks for what the listeners name of a kind, and no longer for what they do not.
func (c *Client) follow(k Kind, named func(*facts) []string) error {
	t, want := &c.types[k], map[string]struct{}{}
	for _, f := range c.listeners {
		for _, name := range named(f) {
			want[name] = struct{}{}
		}
	}
	var added, gone []string
	for name := range want {
		if _, asked := t.held[name]; !asked {
			t.held[name] = ""
			t.missing++
			added = append(added, name)
		}
	}
	for name, version := range t.held {
		if _, stays := want[name]; !stays {
			if version == "" {
				t.missing--
			}
			delete(t.held, name)
			gone = append(gone, name)
		}
	}
	if len(t.held) == 0 && !t.asked {
		return nil
	}
	return c.subscribe(k, added, gone)
}

// proceed acknowledges clusters that have become warm, asks for listeners when the first ones
// are, and notes when there is nothing left to wait for.
func (c *Client) proceed() error {
	if len(c.warming) > 0 {
		return nil
	}
	for i := range c.withheld {
		if err := c.acknowledge(&c.withheld[i]); err != nil {
			return err
		}
	}
	c.withheld = c.withheld[:0]
	if !c.types[Listeners].asked {
		return c.ask(Listeners)
	}
	missing := c.types[Endpoints].missing + c.types[Routes].missing + c.types[Secrets].missing
	if c.types[Listeners].started && missing == 0 && c.synced.Load() == 0 {
		c.synced.Store(time.Now().UnixNano())
		c.fleet.inSync.Add(1)
	}
	return nil
}
