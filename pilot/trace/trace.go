// Package trace follows a change from the event of a source to the last proxy that runs it. Store, build, push
// and acknowledgements each note, on the Change that comes with the data, when they were done and with what.
// Once it is over a Change is handed to whoever shows it, which is pilot/trace/otlp. Nobody follows unless
// asked to: a nil Recorder and a nil Change are ready to be used, and do nothing.
package trace

import (
	"sync"
	"time"
)

const (
	// maxOpen bounds the changes that are followed at a time. One waits for the slowest of its proxies.
	maxOpen = 256
	// maxNamed bounds the proxies that a change names: the last to acknowledge, and those that refused.
	maxNamed = 5
	// defaultPatience is how long after its push a change waits for acknowledgements.
	defaultPatience = time.Minute
)

// Event is what changed, and what the store did with it.
type Event struct {
	// Arrived is when the first object came from its source, Committing when the quiet window was over, and
	// Committed when the snapshot was there.
	Arrived, Committing, Committed time.Time
	// Kinds, Namespaces and Objects name what changed; the last two may be cut short.
	Kinds, Namespaces, Objects []string
	// Changed and Endpoints count objects, and services whose endpoints are others.
	Changed, Endpoints int
	// Full says that all may be another, as on the first commit.
	Full bool
	// Version counts commits since the start of the process.
	Version uint64
}

// Build is how the resources were made.
type Build struct {
	Began, Ended time.Time
	// Units is how many were computed of those that there are, Layers how many of those came out otherwise.
	Units, AllUnits, Layers int
}

// Push is how views were handed out.
type Push struct {
	Ended time.Time
	// Views is how many are others now, Clients how many proxies have one of those.
	Views, Clients int
}

// Answer is a proxy's, at a time. What names the type that a refusal is about, Detail says why.
type Answer struct {
	Proxy        string
	At           time.Time
	What, Detail string
}

// Acknowledgements are what the proxies said that a change concerns.
type Acknowledgements struct {
	// Concerned is how many were sent something, Taken how many run it, Refused how many said no to something
	// of it, and Gone how many ended their stream before, or fell behind too far.
	Concerned, Taken, Refused, Gone int
	// Last are the last to take it, in their order, and Refusals the first.
	Last, Refusals []Answer
	// Ended is when the last answer came, or when nobody waited any longer, which is Late.
	Ended time.Time
	Late  bool
}

// Record is a change that is over.
type Record struct {
	Event            Event
	Build            Build
	Push             Push
	Acknowledgements Acknowledgements
	// LeftOut is how many changes before it were not followed, since too many were.
	LeftOut int
}

// Options of a Recorder.
type Options struct {
	// Deliver takes each change that is over. It must not wait.
	Deliver func(*Record)
	// Patience is how long after its push a change waits for acknowledgements; a minute if 0.
	Patience time.Duration
}

// Recorder follows changes.
type Recorder struct {
	opts Options

	mu      sync.Mutex
	open    map[*Change]struct{}
	leftOut int
}

// New gives a Recorder.
func New(opts Options) *Recorder {
	if opts.Patience == 0 {
		opts.Patience = defaultPatience
	}
	return &Recorder{opts: opts, open: map[*Change]struct{}{}}
}

// Begin follows a change that was committed. It gives nil where too many are followed.
func (r *Recorder) Begin(e Event) *Change {
	if r == nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.open) >= maxOpen {
		r.leftOut++
		return nil
	}
	c := &Change{recorder: r, record: Record{Event: e, LeftOut: r.leftOut}}
	r.leftOut = 0
	r.open[c] = struct{}{}
	return c
}

// Close ends what is followed, as it is.
func (r *Recorder) Close() {
	if r == nil {
		return
	}
	r.mu.Lock()
	open := make([]*Change, 0, len(r.open))
	for c := range r.open {
		open = append(open, c)
	}
	r.mu.Unlock()
	for _, c := range open {
		c.giveUp()
	}
}

// finish delivers a change, once.
func (r *Recorder) finish(c *Change) {
	r.mu.Lock()
	_, open := r.open[c]
	delete(r.open, c)
	r.mu.Unlock()
	if open {
		r.opts.Deliver(&c.record)
	}
}
