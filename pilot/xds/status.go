package xds

import "time"

// State tells how what a proxy runs of a type compares to what it should.
type State string

// The states, in the words of the command line.
const (
	StateSynced  State = "SYNCED"
	StateStale   State = "STALE"    // sent, and not acknowledged yet
	StateNotSent State = "NOT SENT" // asked for, and there is nothing
	StateError   State = "ERROR"    // refused
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
	Error   string // what the proxy said to what it refused
	ErrorAt time.Time
	// Held is the version of each resource that the proxy has.
	Held map[string]string
	// Size is the number of subscribed resources.
	Size int
}

func (s *TypeStatus) sent(r *response, now time.Time) { s.Sent, s.SentAt = r.version, now }

func (s *TypeStatus) acked(version string, now time.Time) { s.Acked, s.AckedAt = version, now }

func (s *TypeStatus) nacked(detail string, now time.Time) { s.Error, s.ErrorAt = detail, now }

// report gives a copy of the status with what follows from the watch's state. rejected says that a
// refused version is still what the configuration yields; otherwise the refusal is history.
func (w *watch) report(connected time.Time, rejected bool) TypeStatus {
	s := w.status
	if !rejected && !w.own && !w.suspect {
		s.Error = ""
	}
	s.Size = len(w.held)
	s.Held = make(map[string]string, len(w.held))
	for n, v := range w.held {
		s.Held[n] = v
	}
	switch {
	case s.Error != "":
		s.State, s.Since = StateError, s.ErrorAt
	case !w.idle():
		s.State, s.Since = StateStale, s.SentAt
	case len(w.held) == 0 && s.SentAt.IsZero():
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
