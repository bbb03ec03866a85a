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
	Names []string // of the resources in it; none where there are many
	Bytes []byte
}

// manyNames is from where on a frame does not tell its names.
const manyNames = 20

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

func (t *Tape) add(r *response, b []byte) {
	f := Frame{After: time.Since(t.start), Kind: r.kind, Bytes: bytes.Clone(b)}
	if len(r.resources) < manyNames {
		for i := range r.resources {
			f.Names = append(f.Names, string(r.resources[i].name))
		}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.frames = append(t.frames, f)
}

// Frames gives what was recorded, in order.
func (t *Tape) Frames() []Frame {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.frames
}
