package xds

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"google.golang.org/grpc/mem"
)

const (
	// placesPerCore is how many streams may be in their beginning at once for each core: it is work
	// without waiting, so more would only keep those who are connected waiting.
	placesPerCore = 2
	// turnBytes bounds the large responses that are being written at once, all streams together.
	turnBytes = 32 << 20
	// largeResponse is from how many bytes on a response waits for its turn.
	largeResponse = 64 << 10
	// turnTime is how long a client that does not read may keep others waiting.
	turnTime = 250 * time.Millisecond
)

// admission keeps a storm of new streams from starving the connected, and each other.
type admission struct {
	places *semaphore.Weighted // streams
	turns  *semaphore.Weighted // bytes, first come, first served
}

func newAdmission() *admission {
	return &admission{
		places: semaphore.NewWeighted(int64(placesPerCore * runtime.GOMAXPROCS(0))),
		turns:  semaphore.NewWeighted(turnBytes),
	}
}

// begin runs the beginning of a stream, from its first request to the first response, when there
// is a place for it, first in the share of its identity.
func (a *admission) begin(ctx context.Context, s *share, f func() error) error {
	if err := s.places.Acquire(ctx, 1); err != nil {
		return err
	}
	defer s.places.Release(1)
	if err := a.places.Acquire(ctx, 1); err != nil {
		return err
	}
	defer a.places.Release(1)
	return f()
}

// turn is a large response's leave to be written. It ends when the response has left for the
// connection, which gRPC tells by freeing a buffer, or after turnTime.
type turn struct {
	end   func()
	timer *time.Timer
}

// acquireTurn waits for the turn of a response, first in the share of its identity; small ones need none.
func (a *admission) acquireTurn(ctx context.Context, s *share, r *response) error {
	size := int64(min(r.size(), turnBytes/2))
	if size <= largeResponse {
		return nil
	}
	if err := s.turns.Acquire(ctx, size); err != nil {
		return err
	}
	if err := a.turns.Acquire(ctx, size); err != nil {
		s.turns.Release(size)
		return err
	}
	end := sync.OnceFunc(func() {
		a.turns.Release(size)
		s.turns.Release(size)
	})
	r.turn = &turn{end, time.AfterFunc(turnTime, end)}
	return nil
}

// watch makes the last buffer that gRPC frees tell of it.
func (t *turn) watch(out mem.BufferSlice) {
	if t == nil {
		return
	}
	for i, b := range slices.Backward(out) {
		if !mem.IsBelowBufferPoolingThreshold(b.Len()) {
			data := b.ReadOnlyData()
			out[i] = mem.NewBuffer(&data, t)
			return
		}
	}
}

// Get is there for mem.BufferPool, of which only Put is used.
func (t *turn) Get(length int) *[]byte {
	b := make([]byte, length)
	return &b
}

// Put takes back the buffer.
func (t *turn) Put(*[]byte) {
	t.timer.Stop()
	t.end()
}
