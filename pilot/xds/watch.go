package xds

import (
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// watch is what one stream asked for and got of one type. The stream's mutex guards it. What the
// client holds is kept as a difference: it holds what base has of the names that it wants, but for
// the odd ones. So a thousand clients of one view share nearly everything.
type watch struct {
	// What each change is compared with comes first, beside each other: a thousand streams do not stay in the
	// processor's caches from one change to the next.
	typ      resource.Type
	delta    bool
	wildcard bool
	// answer says that the first response is owed. It may be empty, and it is never split (rule 6).
	answer bool
	base   *resource.Set // of the view, as far as dirty accounts for it
	// dirty are names that have to be looked at; true for those that are owed.
	dirty smallMap[bool]
	// queue are blocks that a client at the beginning wants and has nothing of. If unsure, it may hold
	// other versions of them. queuedFor is what it wanted when the queue was made.
	queue []*resource.Block
	// isolate are groups of names that are sent alone: a rejected response is bisected, to find the
	// resource that is at fault (rule 9).
	isolate  [][]string
	inflight []*response

	names *resource.Names // subscribed by name
	// odd are names of which the client holds something else than base has: once it took what is in
	// flight and in the queue.
	odd       smallMap[held]
	unsure    bool
	queuedFor *resource.Names

	// removals are clusters that go when nothing points at them any more: removals come last (rule 7).
	removals smallMap[removal]
	// rejected are versions that the client must not get again, by name.
	rejected smallMap[string]
	// untrusted says that the client rejected a response, or had before this stream, and is not
	// repaired yet: it may run another version than it would claim on a new stream.
	untrusted bool
	ownFault  bool // the last rejection says something of the proxy's machine, and nothing of the resource
	// returned says that the client has clusters of a former stream: it may have what it does not claim.
	returned bool

	last   uint64 // the last nonce; in the state of the world only this one counts
	status TypeStatus
}

// held is what a client has of a name; version "" is one that is untrusted.
type held struct {
	version string
	has     bool
}

type removal struct {
	// free is since when nothing points at the cluster: the client has acknowledged all listeners and routes of a view
	// without it. Zero before. What changes of them later cannot point at it either.
	free time.Time
	last *resource.Resource // what SotW goes on sending until then
}

// listable tells whether a type can be asked for without names.
func listable(t resource.Type) bool {
	switch t {
	case resource.Clusters, resource.Listeners, resource.NameTables, resource.TrustBundles, resource.BootstrapPatches:
		return true
	}
	return false
}

// fullState tells whether each response must hold all resources of the type.
func (w *watch) fullState() bool { return !w.delta && listable(w.typ) }

// wants tells whether the client subscribed to a name.
func (w *watch) wants(name string) bool { return w.wildcard || w.names.Has(name) }

// wanted is what base has of what the client wants.
func (w *watch) wanted() *resource.Lookup {
	switch {
	case w.wildcard:
		return w.base.Lookup(nil)
	case w.names == nil:
		return &resource.Lookup{}
	}
	return w.base.Lookup(w.names)
}

// holds tells what the client has of a name once it took what is in flight and in queue.
func (w *watch) holds(name string) held {
	if h, odd := w.odd.get(name); odd {
		return h
	}
	if w.wants(name) {
		return heldOf(w.base.Get(name))
	}
	return held{}
}

// holdsOf is holds for a name that the client wants, where it is known what base has.
func (w *watch) holdsOf(name string, r *resource.Resource) held {
	if h, odd := w.odd.get(name); odd {
		return h
	}
	return heldOf(r)
}

func heldOf(r *resource.Resource) held {
	if r == nil {
		return held{}
	}
	return held{r.Version, true}
}

// hold notes what the client has of a name.
func (w *watch) hold(name string, h held) { w.note(name, h, w.base.Get(name)) }

// note is hold where it is known what base has.
func (w *watch) note(name string, h held, r *resource.Resource) {
	if h == heldOf(r) {
		w.odd.drop(name)
		return
	}
	w.odd.put(name, h)
}

// mark says that a name is to be looked at; owed, that it is sent whatever the client holds.
func (w *watch) mark(name string, owed bool) {
	before, _ := w.dirty.get(name)
	w.dirty.put(name, before || owed)
}

// refresh takes over a new set of the view and tells whether it concerns the client.
func (w *watch) refresh(set *resource.Set) bool {
	d := set.Since(w.base)
	concerned := false
	for i, r := range d.Changed {
		if !w.wants(r.Name) {
			continue
		}
		w.removals.drop(r.Name)
		if rejected, _ := w.rejected.get(r.Name); rejected == r.Version {
			w.rejected.drop(r.Name) // it is back, of which its class may know nothing: it is rejected and reported again
		}
		h, odd := w.odd.get(r.Name)
		if !odd {
			h = heldOf(d.Former[i])
		}
		w.note(r.Name, h, r)
		w.mark(r.Name, false)
		concerned = true
	}
	for _, r := range d.Removed {
		if !w.wants(r.Name) {
			continue
		}
		w.rejected.drop(r.Name)
		h, odd := w.odd.get(r.Name)
		if !odd {
			h = heldOf(r)
		}
		w.note(r.Name, h, nil)
		w.mark(r.Name, false)
		concerned = true
		if _, waits := w.removals.get(r.Name); w.typ == resource.Clusters && !waits {
			w.removals.put(r.Name, removal{last: r})
		}
	}
	w.base = set
	return concerned
}

// free notes that nothing points at the clusters that are to go.
func (w *watch) free(now time.Time) {
	for _, name := range w.removals.sorted() {
		if r, _ := w.removals.get(name); r.free.IsZero() {
			r.free = now
			w.removals.put(name, r)
		}
	}
}

// doubtFree notes that the client may have come with listeners or routes that point at clusters that are to go.
func (w *watch) doubtFree() {
	for _, name := range w.removals.sorted() {
		r, _ := w.removals.get(name)
		w.removals.put(name, removal{last: r.last})
	}
}

// pending tells whether there may be something to send, removals of clusters aside.
func (w *watch) pending() bool {
	return w.answer || w.dirty.len() > 0 || len(w.queue) > 0 || len(w.isolate) > 0
}

// idle tells whether nothing is to be sent or acknowledged.
func (w *watch) idle() bool { return !w.pending() && len(w.inflight) == 0 }

// windowFull tells whether no further response may be sent before one is acknowledged.
func (w *watch) windowFull() bool {
	if w.typ == resource.Clusters {
		return len(w.inflight) >= maxClusterInflight
	}
	return len(w.inflight) > 0
}

// drop forgets a name that the client does not want any more.
func (w *watch) drop(name string) {
	w.odd.drop(name)
	w.dirty.drop(name)
	w.removals.drop(name)
	w.rejected.drop(name)
}
