package ads

import (
	"bytes"
	"sync"
	"time"
)

// Frame is one recorded response.
type Frame struct {
	After time.Duration // since the tape was put in
	Kind  Kind
	Bytes []byte
}

// Tape records the responses that a client gets.
type Tape struct {
	start  time.Time
	mu     sync.Mutex
	frames []Frame
}

// Record starts recording what a client gets, in place of what was recorded before.
func (f *Fleet) Record(client int) *Tape {
	t := &Tape{start: time.Now()}
	f.clients[client].tape.Store(t)
	return t
}

// Stop ends the recording of a client.
func (f *Fleet) Stop(client int) { f.clients[client].tape.Store(nil) }

func (t *Tape) add(k Kind, b []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frames = append(t.frames, Frame{After: time.Since(t.start), Kind: k, Bytes: bytes.Clone(b)})
}

// Frames gives what was recorded, in order.
func (t *Tape) Frames() []Frame {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.frames
}
