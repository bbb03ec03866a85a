package xds

import "time"

// State tells how what a proxy runs of a type compares to what it should.
type State string

// The states, in the words of the command line.
const (
	StateSynced  State = "SYNCED"
	StateStale   State = "STALE"    // sent, and not acknowledged yet
	StateNotSent State = "NOT SENT" // asked for, and there is nothing
	StateError   State = "ERROR"    // rejected
	StateIgnored State = "IGNORED"  // not asked for
)

// TypeStatus is what happened on a stream with one type.
type TypeStatus struct {
	State   State
	Since   time.Time // of the state
	Sent    string    // the last version sent, or held since before the stream
	SentAt  time.Time
	Acked   string // the last version acknowledged
	AckedAt time.Time
	Error   string // what the proxy said to what it rejected
	ErrorAt time.Time
	// Size is the number of resources that the proxy has.
	Size int
	// Kept are clusters that the proxy has on purpose though its view has them no more, by name.
	Kept []Kept
}

// Kept is a cluster that is removed later.
type Kept struct {
	Name  string
	Until time.Time // zero while listeners and routes that used it are not acknowledged
}

// report gives a copy of the status with what follows from the watch's state. rejected says that a
// rejected version is still what the configuration yields; otherwise the rejection is history.
func (w *watch) report(connected time.Time, rejected bool) TypeStatus {
	s := w.status
	if !rejected && !w.ownFault && !w.untrusted {
		s.Error = ""
	}
	if rejected && s.Error == "" { // of which the proxy runs something else than the configuration yields
		s.Error, s.ErrorAt = "something of it was refused and is served in another version; see the problems", s.SentAt
	}
	s.Size = w.size()
	switch {
	case s.Error != "":
		s.State, s.Since = StateError, s.ErrorAt
	case !w.idle():
		s.State, s.Since = StateStale, s.SentAt
	case s.Size == 0 && s.SentAt.IsZero():
		s.State = StateNotSent
	default:
		s.State, s.Since = StateSynced, s.AckedAt
		if s.SentAt.IsZero() { // the proxy came with everything
			s.Sent, s.Acked = w.base.Version(), w.base.Version()
		}
	}
	if s.Since.IsZero() {
		s.Since = connected
	}
	return s
}

// size is how many resources the client holds.
func (w *watch) size() int {
	n := w.wanted().Len()
	for _, p := range w.queue {
		n -= len(p.Resources)
	}
	for name := range w.odd.all() {
		has := w.holds(name).has
		switch in := w.base.Get(name) != nil; {
		case has && !in:
			n++
		case !has && in:
			n--
		}
	}
	return max(n, 0)
}
