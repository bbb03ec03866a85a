package pod

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

func TestNext(t *testing.T) {
	now := time.Unix(1000, 0)
	later := now.Add(time.Second)
	tests := map[string]struct {
		cs          []container
		policy      corev1.RestartPolicy
		initialized bool
		start       []int
		wake        time.Time
		initNow     bool
		outcome     outcome
	}{
		"the first init container alone": {
			cs:    []container{{kind: initKind}, {kind: sidecarKind}, {kind: appKind}},
			start: []int{0},
		},
		"nothing while it runs": {
			cs: []container{{kind: initKind, phase: running}, {kind: appKind}},
		},
		"the sidecar after it": {
			cs:    []container{{kind: initKind, phase: exited}, {kind: sidecarKind}, {kind: initKind}, {kind: appKind}},
			start: []int{1},
		},
		"the next waits for the sidecar's startup probe": {
			cs: []container{{kind: sidecarKind, phase: running}, {kind: initKind}, {kind: appKind}},
		},
		"and goes on when it has started": {
			cs:    []container{{kind: sidecarKind, phase: running, started: true}, {kind: initKind}, {kind: appKind}},
			start: []int{1},
		},
		"applications all at once": {
			cs:      []container{{kind: sidecarKind, phase: running, started: true}, {kind: appKind}, {kind: appKind}},
			start:   []int{1, 2},
			initNow: true,
		},
		"a sidecar that died later blocks nobody": {
			cs:          []container{{kind: initKind, phase: exited}, {kind: sidecarKind, phase: exited}, {kind: appKind}},
			initialized: true, start: []int{1, 2}, initNow: true,
		},
		"back-off": {
			cs:          []container{{kind: appKind, phase: exited, exitCode: 1, earliest: later}},
			initialized: true, wake: later, initNow: true,
		},
		"a failed init container is tried again": {
			cs:    []container{{kind: initKind, phase: exited, exitCode: 1}, {kind: appKind}},
			start: []int{0},
		},
		"unless the pod never restarts": {
			cs:     []container{{kind: initKind, phase: exited, exitCode: 1}, {kind: appKind}},
			policy: corev1.RestartPolicyNever, outcome: failed,
		},
		"a job that succeeded": {
			cs:          []container{{kind: sidecarKind, phase: running, started: true}, {kind: appKind, phase: exited}},
			initialized: true, policy: corev1.RestartPolicyOnFailure, initNow: true, outcome: succeeded,
		},
		"a job that is tried again": {
			cs:          []container{{kind: appKind, phase: exited, exitCode: 3}},
			initialized: true, policy: corev1.RestartPolicyOnFailure, start: []int{0}, initNow: true,
		},
		"a server that ended well starts again": {
			cs:          []container{{kind: appKind, phase: exited}},
			initialized: true, policy: corev1.RestartPolicyAlways, start: []int{0}, initNow: true,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := next(tt.cs, tt.policy, tt.initialized, now)
			if !slices.Equal(s.start, tt.start) || s.wake != tt.wake || s.initialized != tt.initNow || s.outcome != tt.outcome {
				t.Errorf("got %+v, want start %v, wake %v, initialized %v, outcome %v", s, tt.start, tt.wake, tt.initNow, tt.outcome)
			}
		})
	}
}

func TestBackoff(t *testing.T) {
	want := []time.Duration{0, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second, 5 * time.Minute, 5 * time.Minute}
	for i, w := range want {
		if got := backoff(i+1, DefaultMaxBackoff); got != w {
			t.Errorf("after failure %d: %v, want %v", i+1, got, w)
		}
	}
	if got := backoff(1000, DefaultMaxBackoff); got != DefaultMaxBackoff {
		t.Errorf("after many failures: %v", got)
	}
}
