package xds

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// fill makes everything due that the client wants. unsure says that it may have some version of
// it, which is not to be trusted.
func (w *watch) fill(unsure bool) {
	have := w.wanted()
	w.queue, w.queuedFor, w.unsure = have.Blocks, w.names, unsure
	for _, name := range have.Missing {
		w.mark(name, unsure)
	}
}

// distrust makes everything due, whatever the client claims to have. An untrusted client may also have
// what it does not claim.
func (w *watch) distrust(r *request) {
	for name := range r.claimed() {
		if w.base.Find(name) == nil {
			w.noteClaim(string(name), "")
		}
	}
	w.fill(r.claims > 0 || w.untrusted)
}

// noteClaim notes that the client says it has a version of a name that base has not.
func (w *watch) noteClaim(name, version string) {
	if w.wants(name) {
		w.hold(name, held{version, true})
		w.mark(name, false)
	}
}

// compare believes what the client claims to have: what it lacks is due. Where it has everything
// there is nothing to remember.
func (w *watch) compare(r *request) {
	have := w.wanted()
	for _, name := range have.Missing {
		w.mark(name, false)
	}
	if have.Equals(&r.held) {
		return
	}
	known := 0
	for name, version := range r.claimed() {
		res := w.base.Find(name)
		switch {
		case res == nil:
			w.noteClaim(string(name), string(version))
		case !w.wants(res.Name):
		case res.Version == string(version):
			known++
		default:
			known++
			w.noteClaim(res.Name, string(version))
		}
	}
	if known < have.Len() {
		w.lacks(r, have)
	}
}

// lacks finds what the client does not claim.
func (w *watch) lacks(r *request, have *resource.Lookup) {
	claimed := make(map[string]struct{}, r.claims)
	for name := range r.claimed() {
		claimed[string(name)] = struct{}{}
	}
	for _, b := range have.Blocks {
		for _, res := range b.Resources {
			if _, ok := claimed[res.Name]; !ok {
				w.note(res.Name, held{}, res)
				w.mark(res.Name, false)
			}
		}
	}
}

// subscribe adds names, which are next together with the former; one that is asked for again is
// sent again in full, held or not (rule 2).
func (w *watch) subscribe(added []string, next *resource.Names) {
	for _, n := range added {
		if n == wildcard {
			continue
		}
		if !w.wants(n) {
			w.hold(n, held{})
		}
		w.mark(n, true)
	}
	w.names = next
}

// subscribeAll takes in the wildcard. If the client has it already, what is odd is looked at again.
func (w *watch) subscribeAll() {
	if !listable(w.typ) {
		return
	}
	if !w.wildcard {
		w.wildcard = true
		for _, b := range w.base.Lookup(nil).Blocks {
			for _, r := range b.Resources {
				if !w.names.Has(r.Name) {
					w.note(r.Name, held{}, r)
				}
			}
		}
	}
	for name := range w.odd.all() {
		w.mark(name, false)
	}
}

// unsubscribe takes names away, after which next are left. Under a wildcard the client forgets what
// it had of a name: after an unsubscribe it is owed the resource or its removal (rule 11).
func (w *watch) unsubscribe(gone []string, next *resource.Names) {
	w.names = next
	for _, n := range gone {
		switch {
		case n == wildcard:
			w.unsubscribeAll()
		case w.wildcard:
			w.mark(n, true)
		default:
			w.drop(n)
		}
	}
}

func (w *watch) unsubscribeAll() {
	w.wildcard = false
	for _, names := range [][]string{w.odd.sorted(), w.dirty.sorted(), w.removals.sorted(), w.rejected.sorted()} {
		for _, name := range names {
			if !w.wants(name) {
				w.drop(name)
			}
		}
	}
}
