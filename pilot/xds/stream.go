package xds

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

const (
	// chunk bounds a response's size in bytes where it may be split.
	chunk = 256 << 10
	// maxClusterInflight bounds the unacknowledged CDS responses. Endpoints must not wait for the
	// acknowledgement of clusters, which comes when those are warm (rule 5); one response at a time
	// would make them.
	maxClusterInflight = 16
)

// stream is one client's stream. Requests, views of the engine and the timer change it under its
// mutex; where there is something to send then, a goroutine sends until there is nothing left.
type stream struct {
	*Server
	share  *share
	id     string
	wire   wire
	node   *push.Node // of the client, which is known before that is
	client *push.Client
	ctx    context.Context         // of the stream's life
	cancel context.CancelCauseFunc // ends it

	connected time.Time
	identity  string
	peer      string
	spoke     bool           // Health or Join was told of the client; of the goroutine that receives
	uncount   func()         // takes it out of the metric of connected proxies
	untrusted push.Untrusted // what the client may run that is not what it claims
	tellsSeen bool           // the client wants to be told what was seen of the API server

	// mu comes after the engine's mutex, under which refresh is called: who holds it calls nothing of client that
	// takes that.
	mu         sync.Mutex
	subscribed int // names, of all types
	watches    [resource.NumTypes]*watch
	update     *push.Update
	nonces     uint64
	busy       bool        // a goroutine sends
	over       bool        // nothing is to be sent any more
	timer      *time.Timer // looks again for what was not due yet; nil if it was never needed
	// outOfOrder says that endpoints or listeners were asked for before clusters: some cluster has been
	// warming since before the stream, and after such a break endpoints are sent in full, whatever is
	// claimed (rule 4).
	outOfOrder bool
	// resumed says that the client of a stream out of order has had a stream before: it came with
	// versions, or with clusters.
	resumed bool
	// returned says that the client claimed anything, so that it has clusters of a former stream.
	returned bool
	owed     owed
	// doubt says why the client is not the pod that it names; "" where nothing does. doubted tells whether anything has.
	doubt   string
	doubted bool
	// behind is when the oldest change arrived that the client does not have; zero for none.
	behind    time.Time
	following following // the changes that the client does not have
	// sending is since when a response has been on its way into the connection; zero for none.
	sending time.Time
	// signer is the root of the client's certificate, as its agent says; "" for none that is known.
	signer string
	// told is what the client was told of the API server's versions.
	told seen.Versions
}

// owed are load assignments whose clusters were sent before endpoints were asked for. They are sent
// once they are, since each EDS cluster is followed by its endpoints (rule 3).
type owed struct {
	all   bool
	names map[string]struct{}
}

func (s *stream) log() *slog.Logger {
	return s.opts.Logger.With("proxy", proxyName(s.node))
}

// warn logs what the client did, unless it and others of its identity did too much lately.
func (s *stream) warn(text string, args ...any) {
	s.share.warn(s.log(), text, args...)
}

// refresh takes over a view. The engine calls it and must not be kept waiting: what is to be sent
// is found out elsewhere, and only if the client is concerned. A stream that is over gets nothing of it, so
// that nobody waits for its answer.
func (s *stream) refresh(u *push.Update) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.question(u.Doubt)
	concerned, due := false, false
	for t, w := range s.watches {
		if w == nil || w.base == u.Set(resource.Type(t)) {
			continue
		}
		if w.refresh(u.Set(resource.Type(t))) {
			concerned = true
			due = due || !w.windowFull()
		}
	}
	s.update = u
	if concerned {
		if s.behind.IsZero() {
			s.behind = u.Since
		}
		s.following.add(u.Change)
	}
	if due || len(u.Trials) > 0 { // of which the client may have some
		s.start(nil)
	}
}

// question counts the stream once if its client is doubted, and has each doubt that it did not have before logged,
// which the engine must not wait for. The caller holds the mutex.
func (s *stream) question(doubt string) {
	if doubt == s.doubt {
		return
	}
	if s.doubt = doubt; doubt == "" {
		return
	}
	if !s.doubted {
		s.doubted = true
		s.metrics.doubted.Inc()
	}
	s.workers.Go(func() {
		s.warn("proxy is not the pod that it names, and does not get what that gets", "reason", doubt)
	})
}

// wake sends what has become due.
func (s *stream) wake() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance()
}

// advance starts to send if there is something to send. The caller holds the mutex.
func (s *stream) advance() {
	if s.busy || s.over {
		return
	}
	if r := s.next(); r != nil {
		s.start(r)
	}
}

// start sends in a goroutine, beginning with r, or with what is due then. The caller holds the
// mutex.
func (s *stream) start(r *response) {
	if s.busy || s.over {
		return
	}
	s.busy = true
	s.metrics.queue.Inc()
	s.workers.Go(func() {
		defer s.metrics.queue.Dec()
		s.deliver(r)
	})
}

// deliver sends until there is nothing left. A stream that fails stays busy, so that nothing else
// is sent on it.
func (s *stream) deliver(r *response) {
	if r == nil {
		r = s.after()
	}
	for r != nil {
		if err := s.admission.acquireTurn(s.ctx, s.share, r); err != nil {
			return // the stream has ended
		}
		started := s.markSending(r)
		if err := s.wire.send(r); err != nil {
			s.cancel(err)
			return
		}
		took := time.Since(started)
		s.metrics.types[r.typ].sent(r.bytes, took)
		r = s.after()
	}
	s.mu.Lock()
	trials := s.update.Trials
	s.mu.Unlock()
	s.tellTrials(trials)
}

// markSending notes that a response is on its way into the connection, and what its client is told beside.
func (s *stream) markSending(r *response) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending = time.Now()
	r.at = s.sending
	if s.tellsSeen {
		r.seen, s.told = s.update.Seen.Since(s.told).String(), s.update.Seen
	}
	return s.sending
}

// after gives what is due after a send, or after nothing, and rests if that is nothing.
func (s *stream) after() *response {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sending = time.Time{}
	if s.over {
		return nil
	}
	r := s.next()
	s.busy = r != nil
	return r
}

// end lets nothing further be sent.
func (s *stream) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.following.gone()
	if s.timer != nil {
		s.timer.Stop()
	}
}

// next takes the response that is due, and sets the timer where one may become due by itself. The
// caller holds the mutex.
func (s *stream) next() *response {
	now := time.Now()
	r, wait := s.compose(now)
	switch {
	case r != nil || wait == 0:
	case s.timer == nil:
		s.timer = time.AfterFunc(wait, s.wake)
	default:
		s.timer.Reset(wait)
	}
	return r
}

// stalled tells since when the client has owed an acknowledgement. That of clusters does not count,
// since it comes when they are warm (rule 5).
func (s *stream) stalled() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	oldest := s.sending
	for _, w := range s.watches {
		if w == nil || w.typ == resource.Clusters {
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

// untrustedNow tells what the client may run that is something else than it would claim: until a
// rejection is repaired, claims do not count (rule 9).
func (s *stream) untrustedNow() push.Untrusted {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out push.Untrusted
	for t, w := range s.watches {
		if w == nil {
			out.Add(resource.Type(t), s.untrusted[resource.Type(t)])
		} else {
			out.Add(resource.Type(t), w.untrustedNames())
		}
	}
	return out
}

// untrustedNames gives everything if a rejection is not repaired. Otherwise it gives the names in which
// the client was not trusted before, and those of responses without an answer: it may have rejected
// them, and taken a part where that is possible. It may not claim what such a response removes, if it took
// that from one that it rejected, and may not have heard of the removal.
func (w *watch) untrustedNames() push.UntrustedNames {
	d := push.UntrustedNames{All: w.untrusted}
	for name, h := range w.odd.all() {
		if h.has && h.version == "" {
			d.Names = append(d.Names, name)
		}
	}
	if w.typ != resource.Clusters && w.typ != resource.Listeners {
		return d
	}
	for _, r := range w.inflight {
		d.All, d.Blocks = d.All || len(r.blocks) > 0, append(d.Blocks, r.blocks...)
		d.Names = append(append(d.Names, namesOf(r.resources)...), r.removed...)
	}
	return d
}
