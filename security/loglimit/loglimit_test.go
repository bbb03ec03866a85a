package loglimit_test

import (
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/security/loglimit"
)

// Each caller has its lines in each window, and what had no place is told once, when the window is over.
func TestLimiter(t *testing.T) {
	var l loglimit.Limiter[string]
	now := time.Unix(1000, 0)
	ask := func(who string, times, wantAllowed, wantLeftOut int) {
		t.Helper()
		got, left := 0, 0
		for range times {
			ok, n := l.Allow(who, now)
			if ok {
				got++
			}
			left += n
		}
		if got != wantAllowed || left != wantLeftOut {
			t.Errorf("%s: %d lines and %d left out, want %d and %d", who, got, left, wantAllowed, wantLeftOut)
		}
	}
	ask("a", 3*loglimit.Lines, loglimit.Lines, 0)
	ask("b", 1, 1, 0)
	now = now.Add(loglimit.Window - 1)
	ask("a", 1, 0, 0)
	now = now.Add(1)
	ask("b", 1, 1, 2*loglimit.Lines+1)
	ask("a", 2, 2, 0)
}
