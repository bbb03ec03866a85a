package xds

import (
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// compose makes the response that is due, or tells how long to wait until one may be; 0 says that only
// a request or a new view changes anything.
func (s *stream) compose(now time.Time) (*response, time.Duration) {
	var wake time.Duration
	for t := range resource.NumTypes {
		w := s.watches[t]
		if w == nil || !w.pending() || w.windowFull() {
			continue
		}
		if wait := s.delay(t, now); wait > 0 {
			wake = wait
			continue
		}
		if t == resource.Listeners || t == resource.Routes {
			if eds := s.watches[resource.Endpoints]; eds != nil && eds.pending() {
				continue // routes do not overtake the endpoints that they may lead to (rule 7); the next acknowledgement looks again
			}
		}
		if r := s.composeType(w, now); r != nil {
			return r, 0
		}
	}
	r, wait := s.dueRemovals(now)
	if wait > 0 && (wake == 0 || wait < wake) {
		wake = wait
	}
	s.converged(now)
	return r, wake
}

// composeType makes the next response of a type, or nil where the client has everything.
func (s *stream) composeType(w *watch, now time.Time) *response {
	r := s.response(w)
	cold := len(w.queue) > 0
	w.collect(r)
	if r.empty() && !w.answer {
		return nil
	}
	if w.fullState() {
		w.replace(r, cold)
	}
	s.record(w, r, now)
	return r
}

func (s *stream) response(w *watch) *response {
	return &response{typ: w.typ, delta: w.delta, version: w.base.Version(), stream: s.id, subscribed: w.names}
}

// record notes a response as sent.
func (s *stream) record(w *watch, r *response, now time.Time) {
	s.nonces++
	r.nonce, r.at = s.nonces, now
	w.record(r)
	if w.typ == resource.Clusters {
		s.oweEndpoints(r)
	}
}

// oweEndpoints makes the load assignment of every EDS cluster in a response owed: endpoints follow
// their cluster, changed or not (rule 3). In the state of the world those clusters count that the
// client takes for new or changed.
func (s *stream) oweEndpoints(r *response) {
	eds := s.watches[resource.Endpoints]
	if eds == nil && len(r.blocks) > 0 && (r.state == nil || r.state.cold) {
		s.owed = owed{all: true}
		return
	}
	for _, c := range r.all() {
		if r.state != nil && !r.state.cold {
			if _, differs := r.state.before.get(c.Name); !differs {
				continue
			}
		}
		switch {
		case c.LoadAssignment == "" || s.owed.all:
		case eds == nil:
			if s.owed.names == nil {
				s.owed.names = map[string]struct{}{}
			}
			s.owed.names[c.LoadAssignment] = struct{}{}
		case eds.wants(c.LoadAssignment):
			eds.mark(c.LoadAssignment, true)
		}
	}
}

// delay tells how long a type waits.
func (s *stream) delay(t resource.Type, now time.Time) time.Duration {
	switch t {
	case resource.Clusters:
		return s.starting()
	case resource.Listeners, resource.Routes:
		return s.warming(now)
	}
	return 0
}

// starting tells how long changed clusters wait for a client that does not have the endpoints of its
// first clusters yet. A starting Envoy waits for ever for those of a cluster that has none any more
// (seen with 1.40). It is ready for more once it asks for listeners, or has acknowledged all there is.
func (s *stream) starting() time.Duration {
	w := s.watches[resource.Clusters]
	switch {
	case s.watches[resource.Listeners] != nil || w.last == 0:
		return 0
	case len(w.inflight) > 0 || !s.quiet(resource.Endpoints):
		return s.opts.AckTimeout // its next request comes before
	}
	return 0
}

// warming tells how long listeners and routes wait for new clusters to be warm. They are when the
// client acknowledges them, or, if some have been warming since before the stream, when it asks for
// clusters at all. Routes to new clusters wait for that, but not for ever (rule 5).
func (s *stream) warming(now time.Time) time.Duration {
	w := s.watches[resource.Clusters]
	if w == nil {
		if !s.resumed {
			return 0
		}
		if !s.quiet(resource.Endpoints) {
			return s.opts.WarmingTimeout // without its endpoints it cannot get warm
		}
		return max(0, s.connected.Add(s.opts.WarmingTimeout).Sub(now))
	}
	var longest time.Duration
	for _, sent := range w.inflight {
		if sent.adds || w.pending() {
			longest = max(longest, sent.at.Add(s.opts.WarmingTimeout).Sub(now))
		}
	}
	return longest
}

// dueRemovals gives the removal of clusters that nothing points at any more. Removals come last and
// alone, after listeners and routes are acknowledged and had time to drain (rule 7).
func (s *stream) dueRemovals(now time.Time) (*response, time.Duration) {
	w := s.watches[resource.Clusters]
	if w == nil || w.removals.len() == 0 {
		return nil, 0
	}
	if s.quiet(resource.Listeners) && s.quiet(resource.Routes) {
		w.free(now)
	}
	var due []string
	var wait time.Duration
	for name, r := range w.removals.all() {
		if r.free.IsZero() {
			continue // an acknowledgement of listeners or routes looks again
		}
		left := r.free.Add(s.opts.RemovalGrace).Sub(now)
		switch {
		case left <= 0:
			due = append(due, name)
		case wait == 0 || left < wait:
			wait = left
		}
	}
	if len(due) == 0 || w.pending() {
		return nil, wait
	}
	return s.removeClusters(w, due, now), 0
}

// kept gives the clusters whose removal waits.
func (s *stream) kept() []Kept {
	w := s.watches[resource.Clusters]
	var out []Kept
	for _, name := range w.removals.sorted() {
		one := Kept{Name: name}
		if r, _ := w.removals.get(name); !r.free.IsZero() {
			one.Until = r.free.Add(s.opts.RemovalGrace)
		}
		out = append(out, one)
	}
	return out
}

// removeClusters makes the response that removes clusters.
func (s *stream) removeClusters(w *watch, names []string, now time.Time) *response {
	slices.Sort(names)
	for _, n := range names {
		w.removals.drop(n)
	}
	r := s.response(w)
	if w.fullState() {
		w.replace(r, false)
	} else {
		r.removed = names
	}
	s.record(w, r, now)
	return r
}

func (s *stream) quiet(t resource.Type) bool { return s.watches[t] == nil || s.watches[t].idle() }

// converged observes the time from an event to the client's acknowledgement of all it led to.
func (s *stream) converged(now time.Time) {
	if s.behind.IsZero() {
		return
	}
	for _, w := range s.watches {
		if w != nil && !w.idle() {
			return
		}
	}
	s.metrics.convergence.Observe(now.Sub(s.behind).Seconds())
	s.behind = time.Time{}
	s.following.taken(s.client.Node(), now)
}
