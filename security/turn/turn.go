// Package turn shares out a scarce service among those who ask for it: a few are served at a time, and
// who asks much waits behind who asks little. The CA signs by it, and asks API servers about tokens.
package turn

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrFull says that so many wait that there is no place for one more of this key.
var ErrFull = errors.New("too many wait")

// Options of a Queue.
type Options struct {
	// Slots is how many are served at a time, at least 1.
	Slots int
	// Places is how many may wait.
	Places int
	// Rate is how many a key may have in a second, after Burst of them, as one of those that are served
	// first. Zero: there is no difference.
	Rate, Burst float64
	// Clock is time.Now when nil.
	Clock func() time.Time
}

// Queue gives slots to keys in turns, each key its oldest request. A key beyond its rate gets what the
// others leave, and half of the slots at the most, so that nobody waits long behind it. Where all places are
// taken one of the key with the most is turned away, which may be the one that comes. It is safe for
// concurrent use.
type Queue[K comparable] struct {
	opts Options

	mu         sync.Mutex
	free       int // slots
	freeBeyond int // of them for keys beyond their rate
	waiting    int
	due        ring[K]
	beyond     ring[K]
	// spent says until when a key has used up its rate. One that is over is as good as none.
	spent map[K]time.Time
}

// ring holds those who wait, by key in the order of their turns.
type ring[K comparable] struct {
	order []K
	by    map[K][]*waiter
}

type waiter struct {
	done chan struct{} // closed when it has a slot or was turned away
	err  error
}

// New gives a Queue with all slots free.
func New[K comparable](opts Options) *Queue[K] {
	opts.Slots = max(opts.Slots, 1)
	if opts.Clock == nil {
		opts.Clock = time.Now
	}
	return &Queue[K]{
		opts: opts, free: opts.Slots, freeBeyond: max(opts.Slots/2, 1), spent: map[K]time.Time{},
		due: ring[K]{by: map[K][]*waiter{}}, beyond: ring[K]{by: map[K][]*waiter{}},
	}
}

// Enter waits for a slot. The caller gives it back by leave, once. Else the error is ErrFull, or that of ctx.
func (q *Queue[K]) Enter(ctx context.Context, key K) (leave func(), err error) {
	q.mu.Lock()
	beyond := q.charge(key)
	leave = func() { q.leave(beyond) }
	if q.free > 0 && (!beyond || q.freeBeyond > 0) {
		q.take(beyond)
		q.mu.Unlock()
		return leave, nil
	}
	if q.waiting >= q.opts.Places && !q.displace(key) {
		q.mu.Unlock()
		return nil, ErrFull
	}
	w := &waiter{done: make(chan struct{})}
	of := q.ring(beyond)
	of.push(key, w)
	q.waiting++
	q.mu.Unlock()
	select {
	case <-w.done:
	case <-ctx.Done():
		q.mu.Lock()
		if of.remove(key, w) {
			q.waiting--
			q.mu.Unlock()
			return nil, ctx.Err()
		}
		q.mu.Unlock() // it has got its slot, or was turned away, at the same time
	}
	if w.err != nil {
		return nil, w.err
	}
	return leave, nil
}

func (q *Queue[K]) ring(beyond bool) *ring[K] {
	if beyond {
		return &q.beyond
	}
	return &q.due
}

// charge counts a request, and tells whether its key is beyond its rate.
func (q *Queue[K]) charge(key K) bool {
	if q.opts.Rate <= 0 {
		return false
	}
	now := q.opts.Clock()
	every := time.Duration(float64(time.Second) / q.opts.Rate)
	until := q.spent[key]
	if until.Before(now) {
		until = now
	}
	until = until.Add(every)
	if until.Sub(now) > time.Duration(q.opts.Burst*float64(every)) {
		return true
	}
	q.spent[key] = until
	q.forget(now)
	return false
}

// enoughSpent is how many keys are remembered before those are looked for that need not be.
const enoughSpent = 1024

// forget looks at a few keys, and drops those of which nothing is to be remembered.
func (q *Queue[K]) forget(now time.Time) {
	if len(q.spent) < enoughSpent {
		return
	}
	looked := 0
	for key, until := range q.spent {
		if until.Before(now) {
			delete(q.spent, key)
		}
		if looked++; looked == 4 {
			return
		}
	}
}

func (q *Queue[K]) take(beyond bool) {
	q.free--
	if beyond {
		q.freeBeyond--
	}
}

func (q *Queue[K]) leave(beyond bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.free++
	if beyond {
		q.freeBeyond++
	}
	for q.free > 0 {
		next, isBeyond := q.due.pop(), false
		if next == nil && q.freeBeyond > 0 {
			next, isBeyond = q.beyond.pop(), true
		}
		if next == nil {
			return
		}
		q.waiting--
		q.take(isBeyond)
		close(next.done)
	}
}

// displace makes a place by turning away one of the key that has the most waiting, if it has more than the
// key that comes.
func (q *Queue[K]) displace(key K) bool {
	var of *ring[K]
	var most K
	number := q.due.count(key) + q.beyond.count(key)
	for _, r := range []*ring[K]{&q.beyond, &q.due} {
		for _, k := range r.order {
			if n := q.due.count(k) + q.beyond.count(k); n > number {
				of, most, number = r, k, n
			}
		}
	}
	if of == nil {
		return false
	}
	list := of.by[most]
	last := list[len(list)-1]
	of.remove(most, last)
	q.waiting--
	last.err = ErrFull
	close(last.done)
	return true
}

func (r *ring[K]) count(key K) int { return len(r.by[key]) }

func (r *ring[K]) push(key K, w *waiter) {
	if len(r.by[key]) == 0 {
		r.order = append(r.order, key)
	}
	r.by[key] = append(r.by[key], w)
}

// pop gives the first of the key whose turn it is, or nil.
func (r *ring[K]) pop() *waiter {
	if len(r.order) == 0 {
		return nil
	}
	key := r.order[0]
	w := r.by[key][0]
	r.order = r.order[1:]
	if r.by[key] = r.by[key][1:]; len(r.by[key]) > 0 {
		r.order = append(r.order, key)
	} else {
		delete(r.by, key)
	}
	return w
}

// remove takes one out, and tells whether it was there.
func (r *ring[K]) remove(key K, w *waiter) bool {
	for i, other := range r.by[key] {
		if other != w {
			continue
		}
		r.by[key] = append(r.by[key][:i:i], r.by[key][i+1:]...)
		if len(r.by[key]) > 0 {
			return true
		}
		delete(r.by, key)
		for j, k := range r.order {
			if k == key {
				r.order = append(r.order[:j:j], r.order[j+1:]...)
				return true
			}
		}
	}
	return false
}
