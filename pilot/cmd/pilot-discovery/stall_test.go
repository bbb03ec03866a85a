package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
)

func TestAStandstillEndsTheProcessWithItsGoroutines(t *testing.T) {
	var out bytes.Buffer
	code := 0
	giveUp(&out, slog.New(slog.NewTextHandler(&out, nil)), func(c int) { code = c })
	if code != 1 || !strings.Contains(out.String(), "stands still") || !strings.Contains(out.String(), "TestAStandstillEndsTheProcess") {
		t.Errorf("code %d: %s", code, &out)
	}
}
