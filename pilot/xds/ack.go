package xds

import (
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// ack notes that the client took a response.
func (w *watch) ack(s *sent, now time.Time) {
	for _, r := range s.resources {
		r.Accept()
		delete(w.refused, r.Name)
	}
	w.status.acked(s.version, now)
	if w.idle() {
		w.suspect = false
		if len(w.refused) == 0 {
			w.status.Error = ""
		}
	}
}

// nack handles a refused response: what is named as bad is not sent again, the good part is sent
// again at once, since the client may have applied it and yet claims not to have it; where nothing
// is named the response is bisected. It gives the resources that are found to be bad.
func (w *watch) nack(s *sent, detail string, now time.Time) []*push.Resource {
	w.status.nacked(detail, now)
	w.own = ownTrouble(detail)
	bad, good := blame(w.typ, detail, s.resources)
	if len(bad) == 0 && len(s.resources) == 1 {
		bad, good = s.resources, nil
	}
	w.restore(s)
	for _, r := range bad {
		w.refused[r.Name] = r.Version
	}
	switch {
	case w.fullState():
		// All goes again once the view, or the watch, has something in place of the bad.
	case len(bad) > 0:
		for _, r := range good {
			w.mark(r.Name, true)
		}
	default:
		half := len(s.resources) / 2
		w.isolate = append([][]string{namesOf(s.resources[:half]), namesOf(s.resources[half:])}, w.isolate...)
	}
	for _, name := range s.removed {
		if w.wants(name) {
			w.held[name] = ""
			w.mark(name, false)
		}
	}
	// With nothing to repair the client runs what it claims: the former versions.
	w.suspect = w.suspect || w.pending()
	return bad
}

// restore takes back what record assumed, except where a newer response is under way.
func (w *watch) restore(s *sent) {
	for i, r := range s.resources {
		if w.held[r.Name] != r.Version {
			continue
		}
		if !s.known[i] {
			delete(w.held, r.Name)
			continue
		}
		w.held[r.Name] = s.former[i]
	}
}

// blame finds the resources that a client names as bad. Envoy does so for clusters and listeners,
// of which it applies the good ones ("Error adding/updating cluster(s) NAME: why, NAME: why").
func blame(t push.Type, detail string, all []*push.Resource) (bad, good []*push.Resource) {
	if t != push.Clusters && t != push.Listeners {
		return nil, all
	}
	_, list, ok := strings.Cut(detail, "(s) ")
	if !ok || !strings.HasPrefix(detail, "Error adding/updating ") {
		return nil, all
	}
	for _, r := range all {
		if names(list, r.Name) {
			bad = append(bad, r)
		} else {
			good = append(good, r)
		}
	}
	return bad, good
}

// names tells whether a list of "NAME: why" holds a name, at its start, after a comma or in a line
// of its own.
func names(list, name string) bool {
	token := name + ": "
	return strings.HasPrefix(list, token) || strings.Contains(list, ", "+token) || strings.Contains(list, "\n"+token)
}

// ownTrouble tells whether a refusal says something of the proxy's machine and nothing of the
// resource, so that others of its class are served it all the same.
func ownTrouble(detail string) bool { return strings.Contains(detail, "cannot bind ") }

func namesOf(rs []*push.Resource) []string {
	out := make([]string, len(rs))
	for i, r := range rs {
		out[i] = r.Name
	}
	return out
}
