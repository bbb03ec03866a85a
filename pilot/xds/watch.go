package xds

import (
	"maps"
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// watch is what one stream asked for and got of one type. The stream's mutex guards it.
type watch struct {
	typ      push.Type
	delta    bool
	wildcard bool
	names    map[string]struct{} // subscribed by name

	base *push.Set // what the view holds, as far as dirty accounts for it
	// held is the version of each resource that the client has once it took what is in flight; ""
	// where it has some version that is not to be trusted.
	held map[string]string
	// dirty are names to look at; true where the resource is owed whatever the client holds.
	dirty map[string]bool
	// answer says that the first response is owed, even an empty one, and in one piece (rule 6).
	answer bool
	// removals are clusters that go when nothing points at them any more (rule 7).
	removals map[string]removal
	// refused are versions that the client must not get again, by name.
	refused map[string]string
	// isolate are groups of names that are sent alone, to find the one that is refused (rule 9).
	isolate  [][]string
	inflight map[string]*sent // by nonce
	// suspect says that the client refused a response and is not repaired yet: it may run another
	// version than it would claim on a new stream.
	suspect bool
	own     bool // the last refusal was no fault of the resource

	lastNonce string // SotW: the only nonce that counts
	status    TypeStatus
}

type removal struct {
	queued time.Time
	last   *push.Resource // what SotW goes on sending until then
}

// sent is a response that is not acknowledged.
type sent struct {
	at        time.Time
	version   string
	resources []*push.Resource
	former    []string // the versions held before, in the order of resources
	known     []bool   // whether the client held any
	removed   []string
	adds      bool // has clusters that the client did not know
}

func newWatch(t push.Type, delta bool, base *push.Set) *watch {
	return &watch{
		typ: t, delta: delta, base: base,
		names: map[string]struct{}{}, held: map[string]string{}, dirty: map[string]bool{},
		removals: map[string]removal{}, refused: map[string]string{}, inflight: map[string]*sent{},
	}
}

// listable tells whether a type can be asked for without names.
func listable(t push.Type) bool {
	return t == push.Clusters || t == push.Listeners || t == push.NameTables
}

// fullState tells whether each response must hold all resources of the type.
func (w *watch) fullState() bool { return !w.delta && listable(w.typ) }

// wants tells whether the client subscribed to a name.
func (w *watch) wants(name string) bool {
	_, named := w.names[name]
	return w.wildcard || named
}

// mark says that a name is to be looked at; owed, that it is sent whatever the client holds.
func (w *watch) mark(name string, owed bool) { w.dirty[name] = w.dirty[name] || owed }

// markAll marks all that a wildcard covers.
func (w *watch) markAll() {
	for r := range w.base.All() {
		w.mark(r.Name, false)
	}
	for name := range w.held {
		w.mark(name, false)
	}
}

// refresh takes over a new set of the view and tells whether it concerns the client.
func (w *watch) refresh(set *push.Set, now time.Time) bool {
	d := set.Since(w.base)
	w.base = set
	concerned := false
	for _, r := range d.Changed {
		if w.wants(r.Name) {
			w.mark(r.Name, false)
			concerned = true
		}
	}
	for _, r := range d.Removed {
		if !w.wants(r.Name) {
			continue
		}
		concerned = true
		w.mark(r.Name, false)
		if _, waits := w.removals[r.Name]; w.typ == push.Clusters && !waits {
			w.removals[r.Name] = removal{queued: now, last: r}
		}
	}
	return concerned
}

// subscribe adds names; one that is asked for again is owed in full (rule 2).
func (w *watch) subscribe(names []string) {
	for _, n := range names {
		if n == "*" {
			w.wildcard = listable(w.typ)
			w.markAll()
			continue
		}
		w.names[n] = struct{}{}
		w.mark(n, true)
	}
}

// unsubscribe takes names away. Under a wildcard the client forgets what it had of the name, and
// is owed the resource or its removal (rule 11).
func (w *watch) unsubscribe(names []string) {
	for _, n := range names {
		if n == "*" {
			w.wildcard = false
			for held := range w.held {
				if !w.wants(held) {
					w.drop(held)
				}
			}
			continue
		}
		delete(w.names, n)
		if w.wildcard {
			w.mark(n, true)
			continue
		}
		w.drop(n)
	}
}

func (w *watch) drop(name string) {
	delete(w.held, name)
	delete(w.dirty, name)
	delete(w.removals, name)
	delete(w.refused, name)
}

// pending tells whether there may be something to send, removals of clusters aside.
func (w *watch) pending() bool { return w.answer || len(w.dirty) > 0 || len(w.isolate) > 0 }

// idle tells whether nothing is to be sent or acknowledged.
func (w *watch) idle() bool { return !w.pending() && len(w.inflight) == 0 }

// collect takes what is to be sent now out of dirty, up to limit bytes (0 for all). It gives
// nothing where the client has everything already.
func (w *watch) collect(limit int, now time.Time) (resources []*push.Resource, removed []string) {
	if len(w.isolate) > 0 {
		return w.nextIsolated(), nil
	}
	size := 0
	for _, name := range slices.Sorted(maps.Keys(w.dirty)) {
		r, gone := w.decide(name, now)
		if r != nil {
			n := len(frameOf(r, w.delta))
			if limit > 0 && size > 0 && size+n > limit {
				break
			}
			size += n
			resources = append(resources, r)
		}
		if gone {
			removed = append(removed, name)
		}
		delete(w.dirty, name)
	}
	return resources, removed
}

// decide tells what a dirty name needs: a resource, a removal, or nothing.
func (w *watch) decide(name string, now time.Time) (r *push.Resource, gone bool) {
	if !w.wants(name) {
		return nil, false
	}
	owed := w.dirty[name]
	held, has := w.held[name]
	r = w.base.Get(name)
	if r == nil {
		return w.decideMissing(name, owed, has, now)
	}
	delete(w.removals, name)
	if w.refused[name] == r.Version || !owed && held == r.Version {
		return nil, false
	}
	return r, false
}

// decideMissing answers for a name that the view lacks. Load assignments and routes that a client
// holds stay, and one that it waits for is empty (rule 2).
func (w *watch) decideMissing(name string, owed, has bool, now time.Time) (*push.Resource, bool) {
	switch w.typ {
	case push.Endpoints, push.Routes:
		if owed && has && w.held[name] == "" {
			// Claimed on a stream whose claims do not count. If it is in use, an empty one would
			// take its hosts away before traffic has moved; if it is warming, it must stop. A
			// removal does the one and leaves the other alone.
			return nil, w.delta
		}
		if owed || !has {
			r, _ := w.typ.Empty(name)
			return r, false
		}
	case push.Extensions:
	case push.Clusters:
		if !has {
			return nil, w.delta && owed
		}
		if _, waits := w.removals[name]; !waits {
			w.removals[name] = removal{queued: now}
		}
	default:
		return nil, has || owed
	}
	return nil, false
}

// nextIsolated takes the next group that still exists.
func (w *watch) nextIsolated() []*push.Resource {
	for len(w.isolate) > 0 {
		group := w.isolate[0]
		w.isolate = w.isolate[1:]
		var out []*push.Resource
		for _, name := range group {
			delete(w.dirty, name)
			if r := w.base.Get(name); r != nil && w.wants(name) && w.refused[name] != r.Version {
				out = append(out, r)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}

// state gives all that a full-state response holds: the view's resources, and clusters that are
// not to be removed yet.
func (w *watch) state() []*push.Resource {
	var out []*push.Resource
	for r := range w.base.All() {
		if w.wants(r.Name) && w.refused[r.Name] != r.Version {
			out = append(out, r)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.removals)) {
		if last := w.removals[name].last; last != nil && w.base.Get(name) == nil {
			out = append(out, last)
		}
	}
	return out
}

// record notes a response as sent.
func (w *watch) record(r *response, now time.Time) *sent {
	s := &sent{at: now, version: r.version, resources: r.resources, removed: r.removed}
	before := w.held
	if w.fullState() { // what is not in the response is removed by it
		w.held = make(map[string]string, len(r.resources))
	}
	for _, res := range r.resources {
		former, knew := before[res.Name]
		s.former, s.known = append(s.former, former), append(s.known, knew)
		s.adds = s.adds || !knew
		w.held[res.Name] = res.Version
	}
	for _, name := range r.removed {
		delete(w.held, name)
	}
	w.answer = false
	w.inflight[r.nonce] = s
	w.lastNonce = r.nonce
	w.status.sent(r, now)
	return s
}
