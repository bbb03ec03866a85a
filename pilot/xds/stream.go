package xds

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

const (
	// chunk bounds a response's size in bytes where it may be split.
	chunk = 256 << 10
	// maxClusterInflight bounds the unacknowledged CDS responses: an acknowledgement waits for
	// warming, so one at a time would hold up what follows (rule 5).
	maxClusterInflight = 16
	// slowRead is how long a send may take without putting off the removal of clusters.
	slowRead = 100 * time.Millisecond
)

// stream is one client's stream. The loop owns it; the mutex lets others look.
type stream struct {
	id      string
	wire    wire
	client  *push.Client
	opts    *Options
	metrics *metrics
	log     *slog.Logger

	changed chan struct{} // receives when there may be something to send

	connected time.Time
	identity  string
	peer      string

	mu      sync.Mutex
	watches [push.NumTypes]*watch
	update  *push.Update
	nonces  uint64
	// blind says that endpoints or listeners were asked for before clusters: some cluster has been
	// warming since before the stream, and no claim about endpoints counts (rule 4).
	blind bool
	// resumed says that a blind stream's client came with versions, so that it has had a stream.
	resumed bool
	// owed are load assignments whose clusters were sent before endpoints were asked for (rule 3).
	owed map[string]struct{}
	// settled is since when listeners and routes have been acknowledged; zero while they are not.
	settled time.Time
	// behind is when the oldest change arrived that the client does not have; zero for none.
	behind time.Time
	// sending is since when a response has been on its way into the connection; zero for none.
	sending time.Time
}

// loop takes requests and changes, and sends what is due, until ctx ends or sending fails.
func (s *stream) loop(ctx context.Context, requests <-chan *request) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case r := <-requests:
			s.handle(r)
		case <-s.changed:
		case <-timer.C:
		}
		for {
			resp, wake := s.next()
			if resp == nil {
				if wake > 0 {
					timer.Reset(wake)
				}
				break
			}
			if err := s.send(resp); err != nil {
				return err
			}
		}
	}
}

func (s *stream) send(r *response) error {
	started := time.Now()
	s.mu.Lock()
	s.sending = started
	s.mu.Unlock()
	err := s.wire.send(r)
	s.mu.Lock()
	s.sending = time.Time{}
	if time.Since(started) > slowRead { // it has not acted on what came before either, nor have we on its requests
		s.settled = time.Time{}
	}
	s.mu.Unlock()
	if err == nil {
		s.metrics.sent(r, time.Since(started))
	}
	return err
}

// refresh takes over a view of the client. The engine calls it and must not be kept waiting: the
// loop is woken only where the client is concerned.
func (s *stream) refresh(u *push.Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	concerned := false
	for t, w := range s.watches {
		if w != nil && w.refresh(u.Set(push.Type(t)), now) {
			concerned = true
		}
	}
	s.update = u
	if !concerned {
		return
	}
	if s.behind.IsZero() {
		s.behind = u.Since
	}
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// next gives the response that is due, or how long to wait until one may be (0 for no end).
func (s *stream) next() (*response, time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	var wake time.Duration
	for t := range push.NumTypes {
		w := s.watches[t]
		if w == nil || !w.pending() || len(w.inflight) >= inflightLimit(t) {
			continue
		}
		if t == push.Listeners || t == push.Routes {
			if wait := s.warming(now); wait > 0 {
				wake = wait
				continue
			}
		}
		if r := s.compose(w, now); r != nil {
			return r, 0
		}
	}
	r, wait := s.removals(now)
	if wait > 0 && (wake == 0 || wait < wake) {
		wake = wait
	}
	s.converged(now)
	return r, wake
}

func inflightLimit(t push.Type) int {
	if t == push.Clusters {
		return maxClusterInflight
	}
	return 1
}

// compose makes the next response of a type, or nil where the client has everything.
func (s *stream) compose(w *watch, now time.Time) *response {
	limit := chunk
	if w.answer || w.fullState() {
		limit = 0
	}
	owed := w.answer
	resources, removed := w.collect(limit, now)
	if len(resources) == 0 && len(removed) == 0 && !owed {
		return nil
	}
	if w.fullState() {
		resources, removed = w.state(), nil
	}
	return s.record(w, resources, removed, now)
}

func (s *stream) record(w *watch, resources []*push.Resource, removed []string, now time.Time) *response {
	s.nonces++
	r := &response{
		typ: w.typ, delta: w.delta, version: w.base.Version(), resources: resources, removed: removed,
		nonce: s.id + "." + strconv.FormatUint(s.nonces, 36),
	}
	w.record(r, now)
	if w.typ == push.Clusters {
		s.oweEndpoints(resources)
	}
	return r
}

// oweEndpoints makes sure that every EDS cluster that is sent is followed by its load assignment,
// changed or not (rule 3).
func (s *stream) oweEndpoints(clusters []*push.Resource) {
	eds := s.watches[push.Endpoints]
	for _, c := range clusters {
		switch {
		case c.LoadAssignment == "":
		case eds == nil:
			if s.owed == nil {
				s.owed = map[string]struct{}{}
			}
			s.owed[c.LoadAssignment] = struct{}{}
		case eds.wants(c.LoadAssignment):
			eds.mark(c.LoadAssignment, true)
		}
	}
}

// warming tells how long listeners and routes wait for new clusters to be warm, which is when the
// client acknowledges them, or asks for clusters at all if some have been warming since before the
// stream; the wait is bounded (rule 5).
func (s *stream) warming(now time.Time) time.Duration {
	w := s.watches[push.Clusters]
	if w == nil {
		if !s.resumed {
			return 0
		}
		if !s.quiet(push.Endpoints) {
			return s.opts.WarmingTimeout // without its endpoints it cannot get warm
		}
		return max(0, s.connected.Add(s.opts.WarmingTimeout).Sub(now))
	}
	var longest time.Duration
	for _, sent := range w.inflight {
		if sent.adds {
			longest = max(longest, sent.at.Add(s.opts.WarmingTimeout).Sub(now))
		}
	}
	return longest
}

// removals gives the removal of clusters that nothing points at any more: alone, after listeners
// and routes are acknowledged and had time to drain (rule 7).
func (s *stream) removals(now time.Time) (*response, time.Duration) {
	w := s.watches[push.Clusters]
	if !s.quiet(push.Listeners) || !s.quiet(push.Routes) {
		s.settled = time.Time{}
		return nil, 0
	}
	if s.settled.IsZero() {
		s.settled = now
	}
	if w == nil || len(w.removals) == 0 {
		return nil, 0
	}
	var due []string
	var wait time.Duration
	for name, r := range w.removals {
		start := s.settled
		if r.queued.After(start) {
			start = r.queued
		}
		left := start.Add(s.opts.RemovalGrace).Sub(now)
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
	return s.remove(w, due, now), 0
}

func (s *stream) quiet(t push.Type) bool { return s.watches[t] == nil || s.watches[t].idle() }

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
}

// stalled tells since when the client has owed an acknowledgement; clusters do not count (rule 5).
func (s *stream) stalled() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.sending
	for _, w := range s.watches {
		if w == nil || w.typ == push.Clusters {
			continue
		}
		for _, sent := range w.inflight {
			if oldest.IsZero() || sent.at.Before(oldest) {
				oldest = sent.at
			}
		}
	}
	return oldest
}

// suspicion tells of which types the client may run something else than it would claim (rule 9).
func (s *stream) suspicion() push.Suspicion {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out push.Suspicion
	for t, w := range s.watches {
		if w != nil && w.suspect {
			out.Add(push.Type(t))
		}
	}
	return out
}
