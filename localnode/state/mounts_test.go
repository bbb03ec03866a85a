package state

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestRemoveAllUnmountsFirst mounts one of the test's own directories into a tree whose path the
// kernel escapes, and which is named by a link.
func TestRemoveAllUnmountsFirst(t *testing.T) {
	dir := t.TempDir()
	precious := filepath.Join(dir, "precious")
	tree := filepath.Join(dir, `a tree\with all`)
	for _, d := range []string{precious, filepath.Join(tree, "mnt", "in")} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(precious, "file"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, at := range []string{"mnt", "mnt"} { // one over the other
		if err := syscall.Mount(precious, filepath.Join(tree, at), "", syscall.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := RemoveAll(filepath.Join(link, filepath.Base(tree))); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(precious, "file")); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(tree); !os.IsNotExist(err) {
		t.Errorf("the tree is still there: %v", err)
	}
	if err := RemoveAll(tree); err != nil {
		t.Errorf("removing it again: %v", err)
	}
}

func TestPrivate(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.Mkdir(open, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{open, filepath.Join(open, "a", "b")} {
		if err := Private(d); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(d); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%s: %v, %v", d, info.Mode(), err)
		}
	}
	if err := os.Symlink(open, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	if err := Private(filepath.Join(dir, "link")); err == nil {
		t.Error("a link to somewhere is taken for the directory")
	}
	if err := os.Chown(open, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	if err := Private(open); err == nil {
		t.Error("another user's directory is taken")
	}
}

func TestTrim(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, s := range []string{strings.Repeat("a", 90), strings.Repeat("b", 20), "c"} {
		if err := Trim(path, 100); err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteString(s); err != nil {
			t.Fatal(err)
		}
	}
	if now, err := os.ReadFile(path); err != nil || string(now) != "c" {
		t.Errorf("the log holds %q, %v", now, err)
	}
	want := strings.Repeat("a", 80) + strings.Repeat("b", 20)
	if old, err := os.ReadFile(path + ".1"); err != nil || string(old) != want {
		t.Errorf("what was before is %q, %v", old, err)
	}
	if err := Trim(path+"x", 1); err != nil {
		t.Errorf("a log that is missing: %v", err)
	}
}
