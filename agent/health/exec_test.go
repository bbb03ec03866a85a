package health

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestACommandEndsWithItsTime runs commands whose children hold the output. None outlives its probe.
func TestACommandEndsWithItsTime(t *testing.T) {
	for name, script := range map[string]string{
		"a child that hangs":              "sleep 1000 & echo >$0; wait",
		"a child of a child":              "(sh -c 'sleep 1000; true'; true) | cat & echo >$0; wait",
		"one that cannot be asked to end": "trap '' TERM INT HUP; sleep 1000 & echo >$0; wait; wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			started := filepath.Join(t.TempDir(), "started")
			if err := syscall.Mkfifo(started, 0o600); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() { ended <- run(ctx, []string{"sh", "-c", script, started}) }()
			if _, err := os.ReadFile(started); err != nil {
				t.Fatal(err)
			}
			cancel()
			ends(t, ended, context.Canceled)
		})
	}
	t.Run("a success that leaves one behind", func(t *testing.T) {
		t.Parallel()
		ended := make(chan error, 1)
		go func() { ended <- run(t.Context(), []string{"sh", "-c", "sleep 1000 & exit 0"}) }()
		ends(t, ended, nil)
	})
}

func ends(t *testing.T, ended <-chan error, want error) {
	t.Helper()
	select {
	case err := <-ended:
		if !errors.Is(err, want) {
			t.Errorf("it ended with %v", err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it does not end")
	}
}

// TestOutputIsBounded has a command that prints without end.
func TestOutputIsBounded(t *testing.T) {
	err := run(t.Context(), []string{"sh", "-c", "head -c 50000000 /dev/zero | tr '\\0' x; exit 3"})
	if err == nil || len(err.Error()) > 2*outputKept || !strings.Contains(err.Error(), "xxx") {
		t.Errorf("got %.300v", err)
	}
	var h head
	for range 1000 {
		if n, err := h.Write(make([]byte, 150)); n != 150 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if len(h.kept) != outputKept || cap(h.kept) > 4*outputKept {
		t.Errorf("%d of %d bytes are kept", len(h.kept), cap(h.kept))
	}
}
