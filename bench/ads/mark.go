package ads

import (
	"slices"
	"sync/atomic"
	"time"
)

// Mark waits for all clients to acknowledge a resource that changes: it notes when each of them
// acknowledged a response that holds it, for the first time.
type Mark struct {
	name    string
	since   time.Time
	at      []atomic.Int64 // by client: ns after since; 0 for not yet
	count   atomic.Int64
	expect  int64
	reached chan struct{}
}

func (m *Mark) hit(client int, now time.Time) {
	if m.at[client].CompareAndSwap(0, max(1, int64(now.Sub(m.since)))) && m.count.Add(1) == m.expect {
		close(m.reached)
	}
}

// Resource gives the name.
func (m *Mark) Resource() string { return m.name }

// Reached is closed when as many clients as were expected have acknowledged.
func (m *Mark) Reached() <-chan struct{} { return m.reached }

// Count is how many clients have acknowledged.
func (m *Mark) Count() int { return int(m.count.Load()) }

// Delays gives the times from start to each client's acknowledgement, ascending.
func (m *Mark) Delays(start time.Time) []time.Duration {
	var out []time.Duration
	for i := range m.at {
		if ns := m.at[i].Load(); ns > 0 {
			out = append(out, time.Duration(ns)-start.Sub(m.since))
		}
	}
	slices.Sort(out)
	return out
}

type target struct {
	kind Kind
	name string
}

// Watch replaces what is marked for a resource. expect clients are expected to get it.
func (f *Fleet) Watch(k Kind, name string, expect int) *Mark {
	m := &Mark{
		name: name, since: time.Now(), at: make([]atomic.Int64, len(f.clients)),
		expect: int64(expect), reached: make(chan struct{}),
	}
	if expect <= 0 {
		close(m.reached)
	}
	f.marksMu.Lock()
	defer f.marksMu.Unlock()
	f.marks[target{k, name}] = m
	f.marked.Store(int64(len(f.marks)))
	return m
}

// Unwatch forgets all marks.
func (f *Fleet) Unwatch() {
	f.marksMu.Lock()
	defer f.marksMu.Unlock()
	clear(f.marks)
	f.marked.Store(0)
}

// marksIn gives the marks of a response's resources.
func (f *Fleet) marksIn(r *response) []*Mark {
	if f.marked.Load() == 0 {
		return nil
	}
	f.marksMu.RLock()
	defer f.marksMu.RUnlock()
	var out []*Mark
	for i := range r.resources {
		if m := f.marks[target{r.kind, string(r.resources[i].name)}]; m != nil {
			out = append(out, m)
		}
	}
	return out
}
