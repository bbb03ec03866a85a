package runtime

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestReadLog(t *testing.T) {
	const content = "2026-01-01T00:00:00Z stdout F one\n" +
		"2026-01-01T00:00:01Z stderr P two is \n2026-01-01T00:00:01Z stderr F long\n" +
		"rubbish\n2026-01-01T00:00:02Z stdout F \n2026-01-01T00:00:03Z stdout F half a li"
	path := filepath.Join(t.TempDir(), "0.log")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	ended := func() bool { return true }
	tests := map[string]struct {
		opts LogOptions
		want string
	}{
		"all":             {LogOptions{}, "one\ntwo is long\n\n"},
		"followed to end": {LogOptions{Follow: true, Ended: ended}, "one\ntwo is long\n\n"},
		"the last":        {LogOptions{Tail: 2}, "\n"},
		"more than all":   {LogOptions{Tail: 100}, "one\ntwo is long\n\n"},
		"with times":      {LogOptions{Tail: 2, Timestamps: true}, "2026-01-01T00:00:02Z \n"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := ReadLog(t.Context(), path, tt.opts, &b); err != nil || b.String() != tt.want {
				t.Errorf("got %q, %v; want %q", &b, err, tt.want)
			}
		})
	}
	if err := os.WriteFile(Rotated(path), []byte("2025-01-01T00:00:00Z stdout F zero\n2025-01-01T00:00:00Z stdout P be\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("2026-01-01T00:00:00Z stdout F fore\n2026-01-01T00:00:00Z stdout F last\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for tail, want := range map[int]string{0: "zero\nbefore\nlast\n", 1: "last\n", 3: "before\nlast\n", 9: "zero\nbefore\nlast\n"} {
		var b bytes.Buffer
		if err := ReadLog(t.Context(), path, LogOptions{Tail: tail}, &b); err != nil || b.String() != want {
			t.Errorf("with a rotated part, tail %d gives %q, %v", tail, &b, err)
		}
	}
	if err := ReadLog(t.Context(), path+"x", LogOptions{}, &bytes.Buffer{}); err == nil {
		t.Error("a missing log is no error")
	}
}
