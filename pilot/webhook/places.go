package webhook

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
)

const (
	// maxReviews bounds the reviews that are decided at a time, and those of the largest size that are read.
	maxReviews = 64
	// maxReviewsAddress bounds those of one address, so that the API server gets its turn.
	maxReviewsAddress = 8
	// patience is how long a review waits for its turn, and then how long its body may take to come. An API
	// server waits for an answer 10 s at most where nothing else is said.
	patience = 10 * time.Second
)

// places are what all may have of something at a time, and each address: who reaches the port needs no proof.
type places struct {
	all      *semaphore.Weighted
	each     int64
	patience time.Duration

	mu        sync.Mutex
	addresses map[string]*addressPlaces
}

// addressPlaces are those of one address; users are who has one of them or waits for one.
type addressPlaces struct {
	taken *semaphore.Weighted
	users int
}

func newPlaces(all, each int64) *places {
	return &places{all: semaphore.NewWeighted(all), each: each, patience: patience, addresses: map[string]*addressPlaces{}}
}

// bodies gives places for bytes. Small bodies have room for many, so that one that comes late keeps none waiting.
func bodies() *places { return newPlaces(maxReviews*maxBody, maxReviewsAddress*maxBody) }

// limit lets a handler have requests as their bodies have room, and a body so long to come. The others wait, without
// room for their bodies.
func (p *places) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, ok := p.enter(r, room(r))
		if !ok {
			tooMany(w)
			return
		}
		defer leave()
		// A writer that knows no deadlines has the server's own.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(p.patience))
		next.ServeHTTP(w, r)
	})
}

// room is what a body may take: what is said of it, and not so little that there could be very many.
func room(r *http.Request) int64 {
	if r.ContentLength < 0 || r.ContentLength > maxBody {
		return maxBody
	}
	return max(r.ContentLength, maxSaid)
}

func tooMany(w http.ResponseWriter) {
	http.Error(w, "too many reviews at a time", http.StatusTooManyRequests)
}

// enter waits for a request's places; ok is false where they did not become free.
func (p *places) enter(r *http.Request, wanted int64) (leave func(), ok bool) {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	p.mu.Lock()
	own := p.addresses[address]
	if own == nil {
		own = &addressPlaces{taken: semaphore.NewWeighted(p.each)}
		p.addresses[address] = own
	}
	own.users++
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(r.Context(), p.patience)
	defer cancel()
	gone := func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if own.users--; own.users == 0 {
			delete(p.addresses, address)
		}
	}
	if own.taken.Acquire(ctx, wanted) != nil {
		gone()
		return nil, false
	}
	if p.all.Acquire(ctx, wanted) != nil {
		own.taken.Release(wanted)
		gone()
		return nil, false
	}
	return func() { p.all.Release(wanted); own.taken.Release(wanted); gone() }, true
}

func take(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
