package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// load asks for a page again and again, one request after the other.
type load struct {
	stop context.CancelFunc
	done chan struct{}

	mu     sync.Mutex
	during string
	pages  map[string]int // by what is done to the cluster meanwhile
	failed []error
}

// loading asks for a page until end is called.
func loading(ctx context.Context, url string) *load {
	asking, stop := context.WithCancel(ctx)
	l := &load{stop: stop, done: make(chan struct{}), pages: map[string]int{}}
	go func() {
		defer close(l.done)
		for asking.Err() == nil {
			_, err := fetch(ctx, url)
			l.note(err)
		}
	}()
	return l
}

func (l *load) note(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pages[l.during]++
	if err != nil {
		l.failed = append(l.failed, fmt.Errorf("%s, %s: %w", time.Now().Format(time.TimeOnly), l.during, err))
	}
}

// meanwhile says what is done to the cluster from now on.
func (l *load) meanwhile(what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.during = what
}

// asked gives how many pages were asked for since then.
func (l *load) asked() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pages[l.during]
}

// end stops asking, and fails the test if a page did not come.
func (l *load) end(w *world) {
	w.Helper()
	l.stop()
	<-l.done
	w.Logf("pages asked for: %v", l.pages)
	if len(l.failed) > 0 {
		w.Errorf("%d pages of %v failed: %v", len(l.failed), l.pages, l.failed)
	}
	for what, pages := range l.pages {
		if pages == 0 {
			w.Errorf("no page was asked for while %s", what)
		}
	}
}
