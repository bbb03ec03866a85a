package auth

import (
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

const oneKey = `{"keys": [
  {"kty": "OKP", "crv": "Ed448", "kid": "unknown", "x": "AAAA"},
  {"kty": "of tomorrow", "kid": "later"},
  {"kty": "EC", "crv": "P-256", "kid": "known", "use": "sig", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}`

func TestKeysThatNobodyKnowsAreLeftOut(t *testing.T) {
	keys, err := parseKeys([]byte(oneKey))
	if err != nil || len(keys) != 1 || keys[0].KeyID != "known" {
		t.Errorf("got %v, %v", keys, err)
	}
}

// What would be waited for, or never end, is refused, and keeps nobody from the keys that were there before.
func TestOnlyARegularKeyFileIsRead(t *testing.T) {
	keysOf := func(f *keyFile) (int, error) {
		type answer struct {
			keys int
			err  error
		}
		done := make(chan answer, 1)
		go func() {
			keys, err := f.keys(t.Context(), "")
			done <- answer{len(keys), err}
		}()
		select {
		case a := <-done:
			return a.keys, a.err
		case <-time.After(10 * time.Second):
			return 0, fmt.Errorf("no answer")
		}
	}
	path := filepath.Join(t.TempDir(), "keys")
	for what, put := range map[string]func() error{
		"no regular file": func() error { return syscall.Mkfifo(path, 0o600) },
		"larger than":     func() error { return os.WriteFile(path, make([]byte, maxDocument+1), 0o600) },
		"key set":         func() error { return os.WriteFile(path, []byte("half"), 0o600) },
	} {
		var log strings.Builder
		fresh := &keyFile{path: path, log: slog.New(slog.DiscardHandler)}
		known := &keyFile{path: path, log: slog.New(slog.NewTextHandler(&log, nil))}
		if err := os.WriteFile(path, []byte(oneKey), 0o600); err != nil {
			t.Fatal(err)
		}
		if n, err := keysOf(known); n != 1 || err != nil {
			t.Fatalf("%d keys, %v", n, err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if err := put(); err != nil {
			t.Fatal(err)
		}
		for range 2 { // also of a file that was read already
			if n, err := keysOf(fresh); n != 0 || err == nil || !strings.Contains(err.Error(), what) {
				t.Errorf("%s: %d keys, %v", what, n, err)
			}
			if n, err := keysOf(known); n != 1 || err != nil {
				t.Errorf("%s: of the former keys %d are left, %v", what, n, err)
			}
		}
		if n := strings.Count(log.String(), what); n != 1 {
			t.Errorf("%s: reported %d times:\n%s", what, n, log.String())
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
