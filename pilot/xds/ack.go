package xds

import (
	"slices"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// answered takes the response that a nonce answers out of those in flight; nil for none. In the state
// of the world a client answers only the last of several, so those before it go as well.
func (w *watch) answered(nonce uint64) *response {
	i := slices.IndexFunc(w.inflight, func(r *response) bool { return r.nonce == nonce })
	if i < 0 {
		return nil
	}
	r, first := w.inflight[i], i
	if !w.delta {
		first = 0
	}
	w.inflight = slices.Delete(w.inflight, first, i+1)
	return r
}

// ack notes that the client took a response.
func (w *watch) ack(r *response, counts bool, now time.Time) {
	if counts {
		w.accept(r)
	}
	if w.rejected.len() > 0 {
		for _, res := range r.all() {
			w.rejected.drop(res.Name)
		}
	}
	w.status.Acked, w.status.AckedAt = r.version, now
	if w.idle() {
		w.untrusted = false
		if w.rejected.len() == 0 {
			w.status.Error = ""
		}
	}
}

// tookLater tells whether the client, in the state of the world, rejected a response and took one after it
// before it could answer, as a paused Envoy does: then both stand in its one answer.
func (w *watch) tookLater(r *request, sent *response) bool {
	return w.fullState() && string(r.version) == sent.version && sent.version != w.status.Acked
}

// accept marks what the client took. What it does not want any more it may not have looked at.
func (w *watch) accept(r *response) {
	if w.wildcard || w.names == r.subscribed {
		r.accept()
		return
	}
	for _, res := range r.all() {
		if w.wants(res.Name) {
			res.Accept()
		}
	}
}

// nack handles a rejected response. What is named as bad is not sent again. The good part is sent
// again at once, since the client may have applied it and yet claims not to have it. Where nothing is
// named the response is bisected (rule 9).
func (w *watch) nack(r *response, detail string, now time.Time) verdict {
	w.status.Error, w.status.ErrorAt = cut(detail, maxDetail), now
	w.ownFault = isOwnFault(detail)
	all := r.all()
	bad, good := blame(w.typ, detail, all)
	if len(bad) == 0 && len(all) == 1 {
		bad, good = all, nil
	}
	w.restore(r)
	w.correctInflight(all)
	for _, res := range bad {
		w.rejected.put(res.Name, res.Version)
		switch w.typ {
		case resource.Endpoints: // a cluster that waited for it has none now, also not the former
			w.hold(res.Name, held{has: w.holds(res.Name).has})
		case resource.Clusters: // Envoy may keep it beside the former, and then takes it for known when it comes again
			w.hold(res.Name, held{has: true})
		}
	}
	switch {
	case w.fullState():
		// All goes again once the view has something in place of the bad, or less than the good.
		for _, res := range good {
			w.hold(res.Name, held{has: true})
			if w.base.Get(res.Name) == nil {
				w.mark(res.Name, false)
			}
		}
	case len(bad) > 0:
		for _, res := range good {
			w.hold(res.Name, held{has: true})
			w.mark(res.Name, true)
		}
	default:
		w.isolate = append(w.bisect(all), w.isolate...)
	}
	for _, name := range r.removed {
		if w.wants(name) {
			w.hold(name, held{has: true})
			w.mark(name, false)
		}
	}
	// With nothing to repair the client runs what it claims: the former versions.
	w.untrusted = w.untrusted || w.pending()
	if len(bad) == 0 || len(good) == 0 {
		return verdict{bad: bad}
	}
	return verdict{bad, good}
}

// verdict is what a client says of the resources of a response that it refused: which are bad, and, where it
// names these, which are applied.
type verdict struct{ bad, applied []*resource.Resource }

// bisect puts half and half of a rejected response into groups, and each resource that is known to be
// rejected, but was owed all the same, into one of its own.
func (w *watch) bisect(all []*resource.Resource) [][]string {
	var groups [][]string
	var open []string
	for _, res := range all {
		if rejected, _ := w.rejected.get(res.Name); rejected == res.Version {
			groups = append(groups, []string{res.Name})
			continue
		}
		open = append(open, res.Name)
	}
	half := len(open) / 2
	return append([][]string{open[:half], open[half:]}, groups...)
}

// restore takes back what record assumed, except where a newer response is under way. What a full state
// left out may be gone or there still: an Envoy that names the bad applies the rest, and one that
// rejects the whole does not. So its version is untrusted.
func (w *watch) restore(r *response) {
	back := func(name string, sent *resource.Resource, former held) {
		if w.holds(name) == heldOf(sent) {
			w.hold(name, former)
		}
	}
	if r.state != nil && !r.state.cold {
		for name, former := range r.state.before.all() {
			sent := r.state.set.Get(name)
			if sent == nil {
				former.version = ""
			}
			back(name, sent, former)
		}
		return
	}
	for _, b := range r.blocks {
		for _, res := range b.Resources {
			back(res.Name, res, r.hadOfBlocks)
		}
	}
	for i, res := range r.resources {
		former := r.hadOfBlocks
		if r.had != nil {
			former = r.had[i]
		}
		back(res.Name, res, former)
	}
}

// correctInflight corrects what the responses that are under way took for granted: that the client had what it has
// rejected now. It may run it all the same.
func (w *watch) correctInflight(rejected []*resource.Resource) {
	if len(w.inflight) == 0 {
		return
	}
	versions := make(map[string]string, len(rejected))
	for _, res := range rejected {
		versions[res.Name] = res.Version
	}
	for _, later := range w.inflight {
		for i := range later.had {
			if version, ok := versions[later.resources[i].Name]; ok && later.had[i].version == version {
				later.had[i] = held{has: true}
			}
		}
	}
}

// blame finds the resources that a client names as bad. Envoy does so for clusters and listeners,
// of which it applies the good ones ("Error adding/updating cluster(s) NAME: why, NAME: why").
func blame(t resource.Type, detail string, all []*resource.Resource) (bad, good []*resource.Resource) {
	if t != resource.Clusters && t != resource.Listeners {
		return nil, all
	}
	_, list, ok := strings.Cut(detail, "(s) ")
	if !ok || !strings.HasPrefix(detail, "Error adding/updating ") {
		return nil, all
	}
	named := namedIn(list)
	for _, r := range all {
		if _, ok := named[r.Name]; ok {
			bad = append(bad, r)
		} else {
			good = append(good, r)
		}
	}
	return bad, good
}

// namedIn gives what may be names in a list of "NAME: why": what stands before a colon at its start,
// after a comma or at the start of a line. The list is read once, however many resources there are.
func namedIn(list string) map[string]struct{} {
	out := map[string]struct{}{}
	for rest := list; ; {
		if name, _, ok := strings.Cut(rest[:min(len(rest), maxName+2)], ": "); ok {
			out[name] = struct{}{}
		}
		next := strings.IndexAny(rest, ",\n")
		if next < 0 {
			return out
		}
		rest = strings.TrimPrefix(rest[next+1:], " ")
	}
}

// reason cuts what a rejection says of one resource out of what it says of several, whose names are
// bad.
func reason(detail, name string, bad map[string]struct{}) string {
	_, why, ok := strings.Cut(detail, name+": ")
	if !ok || len(bad) < 2 {
		return cut(detail, maxDetail)
	}
	why = cut(why, maxDetail)
	for at := 0; ; {
		next := strings.Index(why[at:], ", ")
		if next < 0 {
			return why
		}
		other, _, _ := strings.Cut(why[at+next+2:], ": ")
		if _, named := bad[other]; named {
			return why[:at+next]
		}
		at += next + 2
	}
}

// isOwnFault tells whether a rejection says something of the proxy's machine and nothing of the
// resource. Others of its class are served the resource all the same.
func isOwnFault(detail string) bool { return strings.Contains(detail, "cannot bind ") }

// maxDetail is how much of a rejection's text is kept, logged and reported, in bytes.
const maxDetail = 4 << 10

// cut gives the first bytes of a text, in whole letters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(strings.Clone(text[:most]), "") + "…"
}

func namesOf(rs []*resource.Resource) []string {
	out := make([]string, len(rs))
	for i, r := range rs {
		out[i] = r.Name
	}
	return out
}
