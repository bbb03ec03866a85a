package main

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progressEvery is how long nothing is said of what goes on.
const progressEvery = 2 * time.Second

// diffProgress says what goes on, each time that a ticker ticks.
type diffProgress struct {
	mu    sync.Mutex
	doing string
	stop  func()
}

// startProgress begins to say it. end has to be called.
func startProgress(w io.Writer, ticker *time.Ticker) *diffProgress {
	p := &diffProgress{}
	ended, done := make(chan struct{}), make(chan struct{})
	p.stop = sync.OnceFunc(func() { close(ended); <-done; ticker.Stop() })
	go func() {
		defer close(done)
		for {
			select {
			case <-ended:
				return
			case <-ticker.C:
				p.mu.Lock()
				_, _ = fmt.Fprintf(w, "pilotctl diff %s ...\n", p.doing) // who cannot be told goes without
				p.mu.Unlock()
			}
		}
	}()
	return p
}

// now notes what is done.
func (p *diffProgress) now(doing string) {
	p.mu.Lock()
	p.doing = doing
	p.mu.Unlock()
}

// end stops it, and waits until nothing is said any more.
func (p *diffProgress) end() { p.stop() }
