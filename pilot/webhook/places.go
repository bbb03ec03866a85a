package webhook

import (
	"context"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	// maxReviews bounds the reviews that are read and decided at a time, and so the memory that they take:
	// who reaches the port needs no proof. The others wait, without a place for their bodies.
	maxReviews = 64
	// maxReviewsAddress bounds those of one address, so that the API server gets its turn.
	maxReviewsAddress = 8
	// patience is how long a review waits for its turn, and then how long its body may take to come. An API
	// server waits for an answer 10 s at most where nothing else is said.
	patience = 10 * time.Second
)

// places are for the reviews at a time.
type places struct {
	all      chan struct{}
	patience time.Duration

	mu        sync.Mutex
	addresses map[string]*addressPlaces
}

// addressPlaces are those of one address; users are who has one of them or waits for one.
type addressPlaces struct {
	taken chan struct{}
	users int
}

func newPlaces() *places {
	return &places{all: make(chan struct{}, maxReviews), patience: patience, addresses: map[string]*addressPlaces{}}
}

// limit lets a handler have a few requests at a time, and a body so long to come.
func (p *places) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, ok := p.enter(r)
		if !ok {
			http.Error(w, "too many reviews at a time", http.StatusTooManyRequests)
			return
		}
		defer leave()
		// A writer that knows no deadlines has the server's own.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(p.patience))
		next.ServeHTTP(w, r)
	})
}

// enter waits for a place; ok is false where none became free.
func (p *places) enter(r *http.Request) (leave func(), ok bool) {
	address, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		address = r.RemoteAddr
	}
	p.mu.Lock()
	own := p.addresses[address]
	if own == nil {
		own = &addressPlaces{taken: make(chan struct{}, maxReviewsAddress)}
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
	if !take(ctx, own.taken) {
		gone()
		return nil, false
	}
	if !take(ctx, p.all) {
		<-own.taken
		gone()
		return nil, false
	}
	return func() { <-p.all; <-own.taken; gone() }, true
}

func take(ctx context.Context, places chan struct{}) bool {
	select {
	case places <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}
