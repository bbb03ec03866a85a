package webhook

import (
	"context"
	"errors"
	"io"
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
	// silence is how long nothing of a body may come.
	silence = 2 * time.Second
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

// rooms are places for the bytes of bodies. The beginnings of all have room of their own, so that a large body, or one
// that comes late, keeps no small one waiting.
type rooms struct {
	first, more *places
}

func bodies() rooms {
	half := func() *places { return newPlaces(maxReviews*maxBody/2, maxReviewsAddress*maxBody/2) }
	return rooms{half(), half()}
}

// limit lets a handler have requests as their bodies have room, and a body so long to come. The others wait, without
// room for their bodies.
func (s rooms) limit(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		leave, ok := s.first.enter(r, maxSaid)
		if !ok {
			tooMany(w)
			return
		}
		defer leave()
		b := &roomyBody{ReadCloser: r.Body, request: r, places: s.more, room: maxSaid, begun: func() {
			// A writer that knows no deadlines has the server's own.
			_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.first.patience))
		}}
		defer b.leave()
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(min(silence, s.first.patience)))
		r.Body = b
		next.ServeHTTP(w, r)
	})
}

// errNoRoom is of a body that comes while there is none for it.
var errNoRoom = errors.New("too many large reviews at a time")

// roomyBody takes room as its bytes come: what is said of a length, or not said, costs nothing.
type roomyBody struct {
	io.ReadCloser
	request    *http.Request
	places     *places // for what is over the first room
	room, came int64
	begun      func() // is called at the first bytes
	taken      []func()
}

// Read reads what there is room for. A body that is larger than any may be is for the reader to end.
func (b *roomyBody) Read(to []byte) (int, error) {
	if b.came == b.room && b.room < maxBody {
		leave, ok := b.places.enter(b.request, b.room)
		if !ok {
			return 0, errNoRoom
		}
		b.taken, b.room = append(b.taken, leave), 2*b.room
	}
	if b.room < maxBody {
		to = to[:min(int64(len(to)), b.room-b.came)]
	}
	n, err := b.ReadCloser.Read(to)
	if b.came == 0 && n > 0 {
		b.begun()
	}
	b.came += int64(n)
	return n, err
}

func (b *roomyBody) leave() {
	for _, leave := range b.taken {
		leave()
	}
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
