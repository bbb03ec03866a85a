package main

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
)

func TestOnlyAYesGoesOn(t *testing.T) {
	for answer, goesOn := range map[string]bool{"y\n": true, " YES \n": true, "y": true, "n\n": false, "\n": false, "": false, "yesterday\n": false} {
		if err := agreed(t.Context(), strings.NewReader(answer)); (err == nil) != goesOn {
			t.Errorf("%q: %v", answer, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	defer out.Close()
	cancel()
	if err := agreed(ctx, in); !errors.Is(err, errNotAgreed) {
		t.Errorf("while nobody answers: %v", err)
	}
}
