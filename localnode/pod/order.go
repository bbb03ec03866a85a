package pod

import (
	"time"

	corev1 "k8s.io/api/core/v1"
)

// kind is what part a container plays in its pod's life.
type kind uint8

const (
	initKind    kind = iota // runs to its end before the next one starts
	sidecarKind             // an init container that restarts always: the next waits until it has started
	appKind
)

// phase of one container.
type phase uint8

const (
	waiting phase = iota
	running
	exited
)

// container is the state from which the pod's next step is decided.
type container struct {
	kind     kind
	phase    phase
	exitCode int32
	started  bool      // its startup probe succeeded, or it has none
	earliest time.Time // back-off: not to be started before
}

// outcome of a whole pod.
type outcome uint8

const (
	undecided outcome = iota
	succeeded
	failed
)

// step is what to do next.
type step struct {
	start       []int     // containers to start now, in this order
	wake        time.Time // when to ask again although nothing happened; zero for never
	initialized bool      // all init containers are through
	outcome     outcome
}

// next decides the pod's next step. It asks for one init container at a time, in order; once they
// are through, for every application container that is not running and, by the restart policy,
// should be.
func next(cs []container, policy corev1.RestartPolicy, initialized bool, now time.Time) step {
	s := step{initialized: initialized}
	for i, c := range cs {
		switch {
		case c.kind == appKind:
			continue
		case c.kind == sidecarKind:
			if c.phase != running {
				s.want(i, c, now)
			}
			if !initialized && (c.phase != running || !c.started) {
				return s
			}
		case initialized || c.phase == exited && c.exitCode == 0:
			continue
		default:
			if c.phase == exited && policy == corev1.RestartPolicyNever {
				s.outcome = failed
			} else if c.phase != running {
				s.want(i, c, now)
			}
			return s
		}
	}
	s.initialized = true
	return s.apps(cs, policy, now)
}

func (s step) apps(cs []container, policy corev1.RestartPolicy, now time.Time) step {
	ended, bad := true, false
	for i, c := range cs {
		if c.kind != appKind {
			continue
		}
		again := policy == corev1.RestartPolicyAlways || policy == "" ||
			policy == corev1.RestartPolicyOnFailure && c.exitCode != 0
		if c.phase == waiting || c.phase == exited && again {
			s.want(i, c, now)
		}
		if c.phase != exited || again {
			ended = false
		}
		bad = bad || c.exitCode != 0
	}
	switch {
	case ended && bad:
		s.outcome = failed
	case ended:
		s.outcome = succeeded
	}
	return s
}

// want asks for a start now, or for a wake-up when the container's back-off ends.
func (s *step) want(i int, c container, now time.Time) {
	if !now.Before(c.earliest) {
		s.start = append(s.start, i)
	} else if s.wake.IsZero() || c.earliest.Before(s.wake) {
		s.wake = c.earliest
	}
}

// DefaultMaxBackoff is the longest back-off where nothing else is said.
const DefaultMaxBackoff = 5 * time.Minute

// Back-off of restarts as a kubelet's: the first at once, then 10 s doubled up to a limit, and
// forgotten when the container ran for 10 minutes.
const (
	backoffBase  = 10 * time.Second
	backoffReset = 10 * time.Minute
)

// backoff is how long to wait after the n-th failure in a row, counted from 1; limit is the longest. It is
// without chance, as the kubelet's is; gRPC's connections have their own, in grpc-go.
func backoff(n int, limit time.Duration) time.Duration {
	if n <= 1 {
		return 0
	}
	d := backoffBase
	for range n - 2 {
		if d *= 2; d >= limit {
			break
		}
	}
	return min(d, limit)
}
