package xds

import (
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// handle takes a request, and starts to send what is due then.
func (s *stream) handle(r *request) {
	t, ok := r.typ()
	if !ok {
		s.log().Debug("request for a type that is not served", "type", string(r.url))
		return
	}
	s.mu.Lock()
	said := s.apply(t, r, time.Now())
	trials := s.update.Trials
	if len(said.bad) == 0 {
		s.advance()
		s.mu.Unlock()
		s.tellTrials(trials)
		return
	}
	s.mu.Unlock()
	names := map[string]struct{}{}
	for _, res := range said.bad {
		names[res.Name] = struct{}{}
	}
	for _, res := range said.applied {
		if slices.Contains(trials, res) {
			s.client.Took(res)
		}
	}
	for _, res := range said.bad { // outside the mutex: the engine tells this stream as well
		why, asked := reason(string(r.detail), res.Name, names), slices.Contains(trials, res)
		switch {
		case isOwnFault(why) && asked:
			s.client.Took(res) // as far as the resource goes
		case !isOwnFault(why) && (asked || s.counts()):
			s.client.Reject(res, why)
		}
	}
	s.wake()
	s.tellTrials(trials)
}

// tellTrials tells the engine which of the resources that it asked the client about the client runs. It is
// called without the mutex, since the engine tells this stream as well.
func (s *stream) tellTrials(trials []*resource.Resource) {
	for _, r := range trials {
		if s.runs(r) {
			s.client.Took(r)
		}
	}
}

// runs tells whether the client has taken a resource of its view, and has answered all else of its type.
func (s *stream) runs(r *resource.Resource) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watches[r.Type]
	if w == nil || !w.idle() || !w.wants(r.Name) || w.base.Get(r.Name) != r {
		return false
	}
	rejected, _ := w.rejected.get(r.Name)
	return rejected != r.Version && w.holds(r.Name) == heldOf(r)
}

// apply changes the watch by a request: the subscriptions first, then the nonce or the error, since
// subscriptions ride on ACKs and NACKs (rule 1). It gives what the client says of a response that it
// refused.
func (s *stream) apply(t resource.Type, r *request, now time.Time) verdict {
	w := s.watches[t]
	answers := parseNonce(r.nonce, s.id)
	switch {
	case w == nil:
		w = s.open(t, r)
		s.watches[t] = w
		s.count()
	case w.delta:
		if r.names+r.gone > 0 {
			s.change(w, r)
			s.count()
		}
	default:
		if len(r.nonce) > 0 && w.last != 0 && answers != w.last {
			return verdict{} // answers a response that is superseded
		}
		s.rename(w, r, answers)
		s.count()
	}
	sent := w.answered(answers)
	if sent == nil {
		return verdict{}
	}
	if !r.nacked || w.tookLater(r, sent) {
		w.ack(sent, s.counts(), now)
		return verdict{}
	}
	s.metrics.types[t].rejects.Inc()
	s.warn("proxy refused a response", "type", t.String(), "error", cut(string(r.detail), maxDetail))
	s.following.refused(s.client.Node(), t, string(r.detail), now)
	return w.nack(sent, string(r.detail), now)
}

// count ends the stream where it is subscribed to more names than it may be.
func (s *stream) count() {
	now := 0
	for _, w := range s.watches {
		if w != nil {
			now += w.names.Len()
		}
	}
	if err := s.share.subscribe(s.subscribed, now); err != nil {
		s.cancel(err)
	}
	s.subscribed = now
}

// counts tells whether the client's word decides about others of its class. That of a caller without
// proof does only while no caller with proof is connected.
func (s *stream) counts() bool { return s.identity != "" || s.provenStreams.Load() == 0 }

// open starts a watch by the stream's first request for a type.
func (s *stream) open(t resource.Type, r *request) *watch {
	w := &watch{typ: t, delta: s.wire.delta(), base: s.update.Set(t), names: s.pool.Of(r.asked())}
	if (t == resource.Endpoints || t == resource.Listeners) && s.watches[resource.Clusters] == nil {
		s.outOfOrder = true
		// For endpoints an Envoy asks once it has clusters, if it accepted any of them or not.
		s.resumed = s.resumed || t == resource.Endpoints || r.claims > 0 || len(r.version) > 0
	}
	s.returned = s.returned || r.claims > 0
	w.returned = s.returned
	w.wildcard = listable(t) && (r.names == 0 || r.starred())
	w.answer = w.wildcard && r.claims == 0
	before := s.untrusted[t]
	w.untrusted = before.All
	switch {
	case w.untrusted || t == resource.Endpoints && (s.outOfOrder || s.owed.all):
		w.distrust(r)
	case r.claims == 0:
		w.fill(false)
	default:
		w.compare(r)
	}
	for _, name := range before.Names {
		w.noteClaim(name, "")
	}
	for _, b := range before.Blocks {
		for _, res := range b.Resources {
			if w.base.Get(res.Name) == nil { // the others come anyway
				w.noteClaim(res.Name, "")
			}
		}
	}
	if c := s.watches[resource.Clusters]; c != nil && (t == resource.Listeners || t == resource.Routes) {
		c.doubtFree()
	}
	if t == resource.Endpoints {
		for name := range s.owed.names {
			if w.wants(name) {
				w.mark(name, true)
			}
		}
		s.owed = owed{}
	}
	return w
}

// change takes over the changes of a delta subscription.
func (s *stream) change(w *watch, r *request) {
	if r.names > 0 {
		added := r.list(deltaFields.names)
		w.subscribe(added, s.pool.Change(w.names, plain(added), nil))
		if slices.Contains(added, wildcard) {
			w.subscribeAll()
		}
	}
	if r.gone > 0 {
		gone := r.list(deltaFields.gone)
		w.unsubscribe(gone, s.pool.Change(w.names, nil, plain(gone)))
	}
}

// plain gives the names without the wildcard.
func plain(names []string) []string {
	return slices.DeleteFunc(slices.Clone(names), func(n string) bool { return n == wildcard })
}

// rename takes over the names of a request in the state of the world, which answers a response
// that may be in flight.
func (s *stream) rename(w *watch, r *request, answers uint64) {
	if listable(w.typ) && (r.names == 0 || r.starred()) {
		if !w.wildcard {
			w.wildcard, w.answer = true, true
			w.fill(false)
		}
		return
	}
	next := s.pool.Of(r.asked())
	added, gone := w.names.Compare(next)
	fresh := slices.ContainsFunc(w.inflight, func(sent *response) bool { return sent.nonce == answers })
	if len(added) == 0 && len(gone) == 0 && !fresh && !w.wildcard {
		added = slices.Collect(next.All()) // asked again without reason to: the client waits for them
	}
	w.subscribe(added, next)
	w.unsubscribe(gone, next)
}
