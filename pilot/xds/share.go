package xds

import (
	"context"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/loglimit"
)

// Limits bound what the streams of one identity take together, so that nobody starves the others.
// All callers without proof are one identity. Zero numbers mean no limit.
type Limits struct {
	// Streams is how many streams there may be, PeerStreams how many from one address.
	Streams, PeerStreams int
	// StreamNames is how many names one stream may subscribe to, Names all streams together.
	StreamNames, Names int
}

// maxName bounds the name of a resource in bytes.
const maxName = 1024

// shares are what callers take of the server, by what they proved; "" is for callers without proof.
type shares struct {
	proven, anonymous Limits

	// places and turns are at most half of those that admission has, for which a storm of one identity
	// leaves the other half to the others.
	places, turns int64

	mu   sync.Mutex
	byID map[string]*share

	lines loglimit.Limiter[string] // of the log, by identity
}

// share is what all streams of one identity take together.
type share struct {
	all      *shares
	identity string
	limits   Limits

	places, turns *semaphore.Weighted

	// all.mu guards the rest.
	streams int
	names   int
	peers   map[string]int // streams by address
}

func newShares(proven, anonymous Limits) *shares {
	return &shares{
		proven: proven, anonymous: anonymous, byID: map[string]*share{},
		places: max(1, int64(placesPerCore*runtime.GOMAXPROCS(0)/2)), turns: turnBytes / 2,
	}
}

// join takes a new stream into the share of its identity.
func (a *shares) join(ctx context.Context, identity string) (*share, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.byID[identity]
	if s == nil {
		s = &share{
			all: a, identity: identity, limits: a.proven, peers: map[string]int{},
			places: semaphore.NewWeighted(a.places), turns: semaphore.NewWeighted(a.turns),
		}
		if identity == "" {
			s.limits = a.anonymous
		}
	}
	from := auth.CallerAddress(ctx)
	switch {
	case above(s.streams+1, s.limits.Streams):
		return nil, status.Errorf(codes.ResourceExhausted, "%s: there are %d streams, no more are served", s, s.streams)
	case above(s.peers[from]+1, s.limits.PeerStreams):
		return nil, status.Errorf(codes.ResourceExhausted, "%s: there are %d streams from %s, no more are served", s, s.peers[from], from)
	}
	a.byID[identity] = s
	s.streams++
	s.peers[from]++
	return s, nil
}

// leave ends a stream's part in the share, with the names that it was subscribed to.
func (s *share) leave(ctx context.Context, names int) {
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	from := auth.CallerAddress(ctx)
	if s.peers[from]--; s.peers[from] == 0 {
		delete(s.peers, from)
	}
	s.names -= names
	if s.streams--; s.streams == 0 {
		delete(s.all.byID, s.identity)
	}
}

// subscribe changes how many names a stream is subscribed to, and tells whether it may be.
func (s *share) subscribe(before, now int) error {
	if before == now {
		return nil
	}
	s.all.mu.Lock()
	defer s.all.mu.Unlock()
	s.names += now - before
	switch {
	case now < before:
		return nil
	case above(now, s.limits.StreamNames):
		return status.Errorf(codes.ResourceExhausted, "%s: the stream is subscribed to %d names, at most %d are served", s, now, s.limits.StreamNames)
	case above(s.names, s.limits.Names):
		return status.Errorf(codes.ResourceExhausted, "%s: all streams are subscribed to %d names, at most %d are served", s, s.names, s.limits.Names)
	}
	return nil
}

// warn logs a line on behalf of the share, unless there were too many lately.
func (s *share) warn(log *slog.Logger, text string, args ...any) {
	allowed, leftOut := s.all.lines.Allow(s.identity, time.Now())
	if leftOut > 0 {
		log.Warn("there were more warnings about streams than are logged", "number", leftOut)
	}
	if allowed {
		log.Warn(text, args...)
	}
}

// String names the share in errors.
func (s *share) String() string {
	if s.identity == "" {
		return "callers without proof of identity"
	}
	return "identity " + s.identity
}

// above tells whether n is more than a limit, of which zero is none.
func above(n, limit int) bool { return limit > 0 && n > limit }
