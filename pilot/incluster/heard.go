package incluster

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Replicas are the other ones of this control plane.
type Replicas interface {
	// Others gives their names.
	Others(ctx context.Context) ([]string, error)
	// Refused gives what the proxies of one of them refuse.
	Refused(ctx context.Context, replica string) ([]model.Problem, error)
}

const (
	// hearEvery is how often the leader asks each other replica. A new leader has asked long before it has settled.
	hearEvery = 10 * time.Second
	// hearTimeout bounds how long it waits for one.
	hearTimeout = 5 * time.Second
)

// heard is what the leader has heard that proxies of other replicas refuse.
type heard struct {
	Options

	mu      sync.Mutex
	of      map[string][]model.Problem // by replica; one that does not answer has what it said last
	changed chan struct{}
}

func newHeard(opts Options) *heard {
	return &heard{Options: opts, changed: make(chan struct{})}
}

// Changed gives a channel that is closed when something else was heard.
func (h *heard) Changed() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed
}

// run asks until ctx ends.
func (h *heard) run(ctx context.Context) {
	if h.Replicas == nil {
		return
	}
	tick := time.NewTicker(hearEvery)
	defer tick.Stop()
	for {
		h.ask(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

func (h *heard) ask(ctx context.Context) {
	names, err := h.Replicas.Others(ctx)
	if err != nil {
		if ctx.Err() == nil {
			h.Logger.Warn("the other replicas are not known", "error", err)
		}
		return
	}
	h.mu.Lock()
	former := h.of
	h.mu.Unlock()
	next := make(map[string][]model.Problem, len(names))
	for _, name := range names {
		asking, cancel := context.WithTimeout(ctx, hearTimeout)
		refused, err := h.Replicas.Refused(asking, name)
		cancel()
		if err != nil {
			h.Logger.Debug("a replica does not say what its proxies refuse", "replica", name, "error", err)
			refused = former[name]
		}
		next[name] = refused
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.of = next
	if !maps.EqualFunc(former, next, slices.Equal) {
		close(h.changed)
		h.changed = make(chan struct{})
	}
}

// with gives problems, sorted, with those that only others know: what proxies of several replicas refuse is told
// once.
func (h *heard) with(own []model.Problem) []model.Problem {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.of) == 0 {
		return own
	}
	told := make(map[model.Problem]bool, len(own))
	for _, p := range own {
		told[p.OfAnyProxy()] = true
	}
	all := slices.Clone(own)
	for _, name := range slices.Sorted(maps.Keys(h.of)) {
		for _, p := range h.of[name] {
			if same := p.OfAnyProxy(); !told[same] {
				told[same] = true
				all = append(all, p)
			}
		}
	}
	slices.SortStableFunc(all, model.CompareProblems)
	return all
}
