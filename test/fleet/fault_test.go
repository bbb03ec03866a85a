package fleet

import (
	"fmt"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// fault is what goes wrong at a stage of an update.
type fault struct {
	kill  bool // the control plane, once; else each stream is cut, once
	stage resource.Type
	after bool // the response has reached its Envoy
	nth   int  // of the responses of the type to all Envoys, where the control plane is killed
	// then is what goes wrong while the Envoys come back from a kill, if they get that far.
	then *fault
}

// String says what goes wrong, and when.
func (f fault) String() string {
	what, when := "every stream is cut", "before"
	if f.kill {
		what = fmt.Sprintf("the control plane is killed at the %d. response", f.nth)
	}
	if f.after {
		when = "after"
	}
	if f.then != nil {
		return fmt.Sprintf("%s %s %s, and then %s", what, when, f.stage, f.then)
	}
	return fmt.Sprintf("%s %s %s", what, when, f.stage)
}

// faults has one fault at a time happen at a gate.
type faults struct {
	plane *plane

	mu       sync.Mutex
	armed    *fault
	happened bool
	seen     int                 // responses of the armed fault's type
	cut      map[string]struct{} // nodes whose stream was cut
	cuts     int                 // in all
}

// arm makes a fault the one that happens; nil is none.
func (f *faults) arm(next *fault) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.happened = next == nil
	f.ready(next)
}

func (f *faults) ready(next *fault) { f.armed, f.seen, f.cut = next, 0, map[string]struct{}{} }

// over tells whether what was armed has happened.
func (f *faults) over() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.happened
}

// decide lets a response pass or go wrong.
func (f *faults) decide(node string, typ resource.Type) envoytest.Verdict {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.armed == nil || f.armed.stage != typ {
		return envoytest.Pass
	}
	verdict := envoytest.Cut
	if f.armed.after {
		verdict = envoytest.PassAndCut
	}
	if !f.armed.kill {
		if _, done := f.cut[node]; done {
			return envoytest.Pass
		}
		f.cut[node] = struct{}{}
		f.cuts, f.happened = f.cuts+1, true
		return verdict
	}
	if f.seen++; f.seen < f.armed.nth {
		return envoytest.Pass
	}
	f.plane.kill()
	f.happened = true
	f.ready(f.armed.then)
	return verdict
}
