package until

import (
	"context"
	"errors"
	"testing"
)

func TestTheEndIsNoError(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	ended, stopped := make(chan struct{}), 0
	serve := func() error { cancel(); <-ended; return errors.New("closed") }
	if err := Done(ctx, serve, func() { stopped++; close(ended) }); err != nil || stopped != 1 {
		t.Errorf("ended by %v, stopped %d times, want once without an error", err, stopped)
	}
}

func TestAFaultIsOne(t *testing.T) {
	fault, stopped := errors.New("fault"), 0
	if err := Done(t.Context(), func() error { return fault }, func() { stopped++ }); !errors.Is(err, fault) || stopped != 1 {
		t.Errorf("ended by %v, stopped %d times, want once with the fault", err, stopped)
	}
}
