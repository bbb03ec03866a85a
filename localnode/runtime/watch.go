package runtime

import (
	"context"
	"sync"
	"time"
)

// watchInterval is how often the running containers are listed: containerd's CRI of this age has
// no stream of events.
const watchInterval = 100 * time.Millisecond

// Watcher tells when containers and sandboxes end, by one list of all of them for everyone who
// waits.
type Watcher struct {
	client  *Client
	mu      sync.Mutex
	waiters map[string]chan struct{}
}

// NewWatcher gives a watcher that works while Run does.
func NewWatcher(client *Client) *Watcher {
	return &Watcher{client: client, waiters: map[string]chan struct{}{}}
}

// Wait gives a channel that is closed once the container, or the sandbox, is seen not running.
func (w *Watcher) Wait(id string) <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	ch, ok := w.waiters[id]
	if !ok {
		ch = make(chan struct{})
		w.waiters[id] = ch
	}
	return ch
}

// Run lists what runs until ctx ends. Nothing is said to have ended while containerd does not answer.
func (w *Watcher) Run(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		ids := w.ids()
		if len(ids) == 0 {
			continue
		}
		alive, err := w.client.Running(ctx)
		if err == nil {
			w.close(ids, alive)
		}
	}
}

// ids are those waited for before the list was made: a container that starts later is not missing.
func (w *Watcher) ids() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	ids := make([]string, 0, len(w.waiters))
	for id := range w.waiters {
		ids = append(ids, id)
	}
	return ids
}

func (w *Watcher) close(ids []string, alive map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, id := range ids {
		if ch, ok := w.waiters[id]; ok && !alive[id] {
			close(ch)
			delete(w.waiters, id)
		}
	}
}
