package main

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"
)

func TestAStandstillEndsTheProcessWithItsGoroutines(t *testing.T) {
	var out bytes.Buffer
	code := 0
	giveUp(&out, slog.New(slog.NewTextHandler(&out, nil)), time.Hour, func(c int) { code = c })
	if code != 1 || !strings.Contains(out.String(), "stands still") || !strings.Contains(out.String(), "TestAStandstillEndsTheProcess") {
		t.Errorf("code %d: %s", code, &out)
	}
}

// TestABlockedOutputKeepsNobody has a log that nobody reads, which may be why the process stands still.
func TestABlockedOutputKeepsNobody(t *testing.T) {
	read, write := io.Pipe()
	ended, done := make(chan int, 1), make(chan struct{})
	go func() {
		defer close(done)
		giveUp(write, slog.New(slog.NewTextHandler(write, nil)), time.Millisecond, func(code int) {
			select {
			case ended <- code:
			default: // the process has ended
			}
		})
	}()
	if code := <-ended; code != 1 {
		t.Errorf("code %d", code)
	}
	read.Close()
	<-done
}
