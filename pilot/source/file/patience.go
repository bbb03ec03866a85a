package file

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// maxStuck bounds the operations that hang at the same time. Each holds a thread of the process.
const maxStuck = 256

// patience runs operations of the file system, each of which may take for ever: a network file
// system that does not answer, a file whose read waits for an event. It waits for one only as long
// as is usual; then that one is left alone, and its end is told.
type patience struct {
	limit time.Duration // for one operation while none hangs
	stuck atomic.Int64

	mu    sync.Mutex
	ended []func(now time.Time)
	// wake holds one token while there are operations that ended late.
	wake chan struct{}
}

func newPatience(limit time.Duration) *patience {
	return &patience{limit: limit, wake: make(chan struct{}, 1)}
}

// overdue gives what there is to do after operations that hung and have ended.
func (p *patience) overdue() []func(time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	ended := p.ended
	p.ended = nil
	return ended
}

func (p *patience) tell(then func(time.Time)) {
	p.mu.Lock()
	p.ended = append(p.ended, then)
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default: // a token is there already
	}
}

// left is how long the next operation is waited for. The more of them hang the less is expected of
// the others, so that many together do not stop the source for long.
func (p *patience) left() time.Duration { return p.limit / time.Duration(1+p.stuck.Load()) }

// hangsError tells of an operation that did not end in time.
type hangsError struct{ limit time.Duration }

func (e *hangsError) Error() string {
	return fmt.Sprintf("the file system does not answer within %v", e.limit)
}

// errCrowded tells of an operation that was not begun.
var errCrowded = fmt.Errorf("%d others hang already", maxStuck)

// operation is what is done with each of several items.
type operation[K, T any] struct {
	// load asks the file system, and may never end.
	load func(*reader, K)
	// result makes something of what was loaded, however long that takes.
	result func(*reader, K) T
	// failed gives the result where there is none: the operation hangs, or was not begun.
	failed func(K, error) T
	// late takes the result of an operation that hung and has ended.
	late func(K, T, time.Time)
}

// attempt runs an operation for each item, as many at the same time as there are readers, and gives
// the results. A reader whose operation hangs is replaced.
func attempt[K, T any](p *patience, readers []*reader, spare func() *reader, items []K, op operation[K, T]) []T {
	if len(items) == 0 {
		return nil
	}
	b := &batch[K, T]{
		patience: p, operation: op, readers: readers, spare: spare,
		results: make([]T, len(items)), ended: make(chan outcome[T], len(items)), running: make(map[int]*attempted[K], len(readers)),
	}
	for slot := range readers {
		b.idle = append(b.idle, slot)
	}
	alarm := time.NewTimer(p.limit)
	defer alarm.Stop()
	for next := 0; next < len(items) || len(b.running) > 0; {
		for ; next < len(items) && len(b.idle) > 0; next++ {
			if int(p.stuck.Load())+len(b.running) < maxStuck { // each that runs may come to hang
				b.start(next, items[next])
			} else {
				b.results[next] = op.failed(items[next], errCrowded)
			}
		}
		if len(b.running) == 0 {
			continue
		}
		alarm.Reset(b.due())
		select {
		case o := <-b.ended:
			b.results[o.i] = o.result
			b.idle = append(b.idle, b.running[o.i].slot)
			delete(b.running, o.i)
		case <-alarm.C:
			b.abandon()
		}
	}
	return b.results
}

// batch are operations that belong together.
type batch[K, T any] struct {
	*patience
	operation[K, T]
	readers []*reader
	spare   func() *reader
	idle    []int // readers
	results []T
	running map[int]*attempted[K]
	ended   chan outcome[T]
}

// outcome is the result of an operation that ended in time.
type outcome[T any] struct {
	i      int // of its item
	result T
}

// attempted is an operation that runs.
type attempted[K any] struct {
	item  K
	slot  int // of its reader
	began time.Time
	// over is set by whoever is first: the operation that has loaded, or who no longer waits for it.
	over atomic.Bool
}

func (b *batch[K, T]) start(i int, item K) {
	at := &attempted[K]{item: item, slot: b.idle[len(b.idle)-1], began: time.Now()}
	b.idle = b.idle[:len(b.idle)-1]
	b.running[i] = at
	r := b.readers[at.slot]
	go func() {
		b.load(r, item)
		if at.over.CompareAndSwap(false, true) {
			b.ended <- outcome[T]{i, b.result(r, item)}
			return
		}
		b.stuck.Add(-1)
		result := b.result(r, item)
		b.tell(func(now time.Time) { b.late(item, result, now) })
	}()
}

// due gives how long until the first operation has taken too long.
func (b *batch[K, T]) due() time.Duration {
	due := b.limit
	for _, at := range b.running {
		if !at.over.Load() {
			due = min(due, b.left()-time.Since(at.began))
		}
	}
	return max(0, due)
}

// abandon leaves alone what has taken too long.
func (b *batch[K, T]) abandon() {
	for i, at := range b.running {
		if time.Since(at.began) < b.left() {
			continue
		}
		b.stuck.Add(1) // before it can end
		if !at.over.CompareAndSwap(false, true) {
			b.stuck.Add(-1)
			continue
		}
		b.results[i] = b.failed(at.item, &hangsError{b.limit})
		b.readers[at.slot] = b.spare()
		b.idle = append(b.idle, at.slot)
		delete(b.running, i)
	}
}
