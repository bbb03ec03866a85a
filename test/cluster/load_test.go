package cluster

import (
	"context"
	"fmt"
	"strings"
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
			l.note(page(ctx, url))
		}
	}()
	return l
}

// page asks for bookinfo's page. It comes also where a part of it does not, and says so then, which is an error here.
func page(ctx context.Context, url string) error {
	body, err := fetch(ctx, url)
	if err != nil {
		return err
	}
	if at := strings.Index(body, `class="error"`); at >= 0 {
		return fmt.Errorf("the page lacks a part: %.200s", body[at:])
	}
	if !strings.Contains(body, "Reviewer2") {
		return fmt.Errorf("the page has no reviews: %.200s", body)
	}
	return nil
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
	l.pages[what] += 0 // so that it is missed where no page is asked for
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
