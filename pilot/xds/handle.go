package xds

import (
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// handle takes a request: subscriptions first, then the nonce or the error (rule 1).
func (s *stream) handle(r *request) {
	t, ok := push.ByURL(r.typeURL)
	if !ok {
		s.log.Debug("request for a type that is not served", "type", r.typeURL)
		return
	}
	s.mu.Lock()
	bad := s.take(t, r, time.Now())
	s.mu.Unlock()
	if ownTrouble(r.detail) {
		return
	}
	for _, res := range bad { // outside the mutex: the engine tells this stream as well
		s.client.Reject(res, r.detail)
	}
}

// take changes the watch and gives the resources that the client turns out to refuse.
func (s *stream) take(t push.Type, r *request, now time.Time) []*push.Resource {
	w := s.watches[t]
	switch {
	case w == nil:
		w = s.open(t, r)
		s.watches[t] = w
	case s.wire.delta():
		w.subscribe(r.subscribe)
		w.unsubscribe(r.unsubscribe)
	default:
		if r.nonce != "" && w.lastNonce != "" && r.nonce != w.lastNonce {
			return nil // answers a response that is superseded
		}
		w.rename(r)
	}
	sent := w.inflight[r.nonce]
	if sent == nil {
		return nil
	}
	delete(w.inflight, r.nonce)
	if !r.refused {
		w.ack(sent, now)
		return nil
	}
	s.metrics.rejects.WithLabelValues(t.String()).Inc()
	s.log.Warn("proxy refused a response", "type", t.String(), "error", r.detail)
	return w.nack(sent, r.detail, now)
}

// open starts a watch by the stream's first request for a type.
func (s *stream) open(t push.Type, r *request) *watch {
	w := newWatch(t, s.wire.delta(), s.update.Set(t))
	if (t == push.Endpoints || t == push.Listeners) && s.watches[push.Clusters] == nil {
		s.blind = true
		s.resumed = s.resumed || len(r.initial) > 0 || r.version != ""
	}
	names := r.subscribe
	if !w.delta {
		names = r.names
	}
	trusted := !s.client.Suspicion().Has(t) && !(t == push.Endpoints && s.blind)
	for name, version := range r.initial {
		if !trusted {
			version = ""
		}
		w.held[name] = version
	}
	w.wildcard = listable(t) && (len(names) == 0 || slices.Contains(names, "*"))
	for _, n := range names {
		if n != "*" {
			w.names[n] = struct{}{}
			w.mark(n, !trusted)
		}
	}
	if w.wildcard {
		w.markAll()
		w.answer = len(r.initial) == 0
	}
	if t == push.Endpoints {
		for name := range s.owed {
			if w.wants(name) {
				w.mark(name, true)
			}
		}
		s.owed = nil
	}
	return w
}

// rename takes over the names of a SotW request.
func (w *watch) rename(r *request) {
	if len(r.names) == 0 && listable(w.typ) {
		if !w.wildcard {
			w.wildcard, w.answer = true, true
		}
		return
	}
	want := map[string]struct{}{}
	for _, n := range r.names {
		want[n] = struct{}{}
	}
	var added, gone []string
	for n := range want {
		if _, has := w.names[n]; !has {
			added = append(added, n)
		}
	}
	for n := range w.names {
		if _, stays := want[n]; !stays {
			gone = append(gone, n)
		}
	}
	_, fresh := w.inflight[r.nonce]
	if len(added) == 0 && len(gone) == 0 && !fresh && !w.wildcard {
		added = r.names // asked again without reason to: the client waits for them
	}
	w.subscribe(added)
	w.unsubscribe(gone)
}

// remove sends the removal of clusters.
func (s *stream) remove(w *watch, names []string, now time.Time) *response {
	slices.Sort(names)
	for _, n := range names {
		delete(w.removals, n)
	}
	if w.fullState() {
		return s.record(w, w.state(), nil, now)
	}
	return s.record(w, nil, names, now)
}
