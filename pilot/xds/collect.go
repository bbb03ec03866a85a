package xds

import "github.com/pilothouse-mesh/pilothouse/pilot/resource"

// collect puts into a response what is to be sent now, up to chunk bytes where it may be split. It
// stays empty where the client has everything already.
func (w *watch) collect(r *response) {
	if r.resources = w.nextIsolated(); len(r.resources) > 0 {
		return
	}
	limit := chunk
	if w.answer || w.fullState() {
		limit = 0
	}
	size := 0
	fits := func(n int) bool { return limit == 0 || size == 0 || size+n <= limit }
	for len(w.queue) > 0 {
		if !fits(w.queue[0].Size()) {
			return
		}
		size += w.unqueue(r)
	}
	w.queue, w.queuedFor = nil, nil
	if w.dirty.len() == 0 {
		return
	}
	for _, name := range w.dirty.sorted() {
		res, gone := w.decide(name)
		if res != nil {
			n := res.Size(w.delta)
			if !fits(n) {
				return
			}
			size += n
			r.resources = append(r.resources, res)
		}
		if gone {
			r.removed = append(r.removed, name)
		}
		w.dirty.drop(name)
	}
}

// unqueue moves the next block into a response, as a whole if nothing has changed since it was put
// into the queue, and gives the bytes. What is dirty comes later, as it is then.
func (w *watch) unqueue(r *response) int {
	b := w.queue[0]
	w.queue = w.queue[1:]
	r.hadOfBlocks = held{has: w.unsure}
	r.adds = true // also where the client may know them, since they may not be warm
	if w.odd.len() == 0 && w.dirty.len() == 0 && w.rejected.len() == 0 && w.names == w.queuedFor {
		r.blocks = append(r.blocks, b)
		return b.Size()
	}
	size := 0
	for _, res := range b.Resources {
		if !w.wants(res.Name) {
			continue
		}
		w.hold(res.Name, r.hadOfBlocks)
		_, dirty := w.dirty.get(res.Name)
		rejected, _ := w.rejected.get(res.Name)
		if !dirty && rejected != res.Version {
			r.resources = append(r.resources, res)
			size += res.Size(w.delta)
		}
	}
	return size
}

// decide tells what a dirty name needs: a resource, a removal, or nothing.
func (w *watch) decide(name string) (r *resource.Resource, gone bool) {
	if !w.wants(name) {
		return nil, false
	}
	owed, _ := w.dirty.get(name)
	r = w.base.Get(name)
	held := w.holdsOf(name, r)
	if r == nil {
		return w.decideMissing(name, owed, held)
	}
	if rejected, _ := w.rejected.get(name); rejected == r.Version {
		return w.decideRejected(r, owed)
	}
	if !owed && held.version == r.Version {
		return nil, false
	}
	return r, false
}

// decideRejected answers for what the client rejected, which it does not get again. A cluster that waits
// for such a load assignment has to stop: a removal does that, or, where there is none, a second rejection.
func (w *watch) decideRejected(r *resource.Resource, owed bool) (*resource.Resource, bool) {
	switch {
	case !owed || w.typ != resource.Endpoints:
		return nil, false
	case w.delta:
		return nil, true
	}
	return r, false
}

// decideMissing answers for a name that the view lacks. Load assignments and routes that a client
// holds stay with it, and for one that it waits for it gets an empty one: endpoints and routes are
// never removed, and unknown names are answered (rule 2).
func (w *watch) decideMissing(name string, owed bool, had held) (*resource.Resource, bool) {
	switch w.typ {
	case resource.Endpoints, resource.Routes:
		unclaimed := !had.has && w.returned && w.typ == resource.Endpoints // after a removal on a former stream
		if unclaimed || owed && had.has && had.version == "" {
			// Claimed on a stream whose claims do not count, or not claimed any more. If it is in use,
			// an empty one would take its hosts away before traffic has moved; if it is warming, it must
			// stop. A removal does the one and leaves the other alone.
			return nil, w.delta
		}
		if owed || !had.has {
			r, _ := w.typ.Empty(name)
			return r, false
		}
	case resource.Clusters:
		if !had.has {
			return nil, w.delta && owed
		}
		if _, waits := w.removals.get(name); !waits {
			w.removals.put(name, removal{})
		}
	case resource.Secrets:
		return nil, w.delta // which ends the waiting of a new one for it, and takes nothing away (rule 2)
	default:
		return nil, had.has || owed
	}
	return nil, false
}

// nextIsolated takes the next isolated group of which something still exists. What is not sent with it
// stays dirty if it was: a cluster that came since may wait for it.
func (w *watch) nextIsolated() []*resource.Resource {
	for len(w.isolate) > 0 {
		group := w.isolate[0]
		w.isolate = w.isolate[1:]
		var out []*resource.Resource
		for _, name := range group {
			r := w.base.Get(name)
			if r == nil || !w.wants(name) {
				continue
			}
			again := len(group) == 1 && w.typ == resource.Endpoints && !w.delta // see decideRejected
			if rejected, _ := w.rejected.get(name); rejected != r.Version || again {
				w.dirty.drop(name)
				out = append(out, r)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	w.isolate = nil
	return nil
}

// replace makes a response hold the full state: the view's resources, and clusters that are not to be
// removed yet. What the client rejected is among them, since it would drop what is left out; it rejects
// that again, and keeps what it has. cold says that the client had nothing.
func (w *watch) replace(r *response, cold bool) {
	have := w.wanted()
	r.state = &fullState{set: w.base, cold: cold, before: w.odd.take()}
	r.blocks, r.resources, r.removed = have.Blocks, nil, nil
	for _, name := range w.removals.sorted() {
		if removed, _ := w.removals.get(name); removed.last != nil && w.base.Get(name) == nil {
			r.resources = append(r.resources, removed.last)
			w.note(name, heldOf(removed.last), nil)
		}
	}
}

// record notes a response as sent.
func (w *watch) record(r *response) {
	switch {
	case r.state != nil:
		r.adds = r.state.cold
		for name, h := range r.state.before.all() {
			r.adds = r.adds || !h.has && w.base.Get(name) != nil
		}
	default:
		r.had = make([]held, len(r.resources))
		for i, res := range r.resources {
			now := w.base.Get(res.Name)
			r.had[i] = w.holdsOf(res.Name, now)
			r.adds = r.adds || r.had[i].version == ""
			w.note(res.Name, heldOf(res), now)
		}
		for _, name := range r.removed {
			w.hold(name, held{})
		}
	}
	w.answer = false
	w.inflight = append(w.inflight, r)
	w.last = r.nonce
	w.status.Sent, w.status.SentAt = r.version, r.at
}
