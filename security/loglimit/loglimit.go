// Package loglimit bounds the lines that callers cause in a log, so that nobody fills a disk with them, and
// nobody's lines are left out for those of another. The CA's audit log and the streams of xDS go by it.
package loglimit

import (
	"sync"
	"time"
)

const (
	// Lines is how many lines one caller may cause in a Window.
	Lines = 50
	// Window is the time in which lines are counted.
	Window = 10 * time.Second
)

// Limiter counts lines by what callers proved themselves to be. It is safe for concurrent use, and its zero value
// is ready.
type Limiter[K comparable] struct {
	mu      sync.Mutex
	began   time.Time // of the window
	lines   map[K]int // in it
	leftOut int
}

// Allow tells whether there is a place for a line about a caller, and how many lines of all callers had none in a
// window that has ended since the last call.
func (l *Limiter[K]) Allow(caller K, now time.Time) (allowed bool, leftOut int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lines == nil || now.Sub(l.began) >= Window {
		leftOut = l.leftOut
		l.began, l.leftOut, l.lines = now, 0, map[K]int{}
	}
	if l.lines[caller] >= Lines {
		l.leftOut++
		return false, leftOut
	}
	l.lines[caller]++
	return true, leftOut
}
