package state

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pilothouse-mesh/pilothouse/localnode/network"
)

func TestNames(t *testing.T) {
	for _, bad := range []string{"", "..", "a/b", "A", "-a", "a b", "a-very-long-name-of-more-than-32-letters"} {
		if _, err := NewDir("/run", bad); err == nil {
			t.Errorf("mesh name %q is taken", bad)
		}
	}
}

func TestLockIsHeldByOne(t *testing.T) {
	d, err := NewDir(filepath.Join(t.TempDir(), "root"), "demo")
	if err != nil {
		t.Fatal(err)
	}
	l, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Lock()
	if held, ok := errors.AsType[ErrHeld](err); !ok || held.PID != os.Getpid() {
		t.Errorf("a second lock: %v", err)
	}
	// Who has the lock may remove the directory; the next one then has a lock of its own.
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	other, err := d.Lock()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range []*Lock{l, other} {
		if err := l.Release(); err != nil {
			t.Error(err)
		}
	}
	unnamed, err := d.LockUnnamed()
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Lock()
	if held, ok := errors.AsType[ErrHeld](err); !ok || held.PID != 0 {
		t.Errorf("a second lock, while one without a name is held: %v", err)
	}
	if err := unnamed.Release(); err != nil {
		t.Error(err)
	}
}

func TestRecord(t *testing.T) {
	d := Dir{Root: t.TempDir(), Name: "demo"}
	if _, err := d.ReadRecord(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no record: %v", err)
	}
	if err := os.Mkdir(d.Path(), 0o755); err != nil {
		t.Fatal(err)
	}
	want := Record{Plan: network.NewPlan(70), HostLink: "ph-demo", NetNS: "net:[1]"}
	if err := d.WriteRecord(want); err != nil {
		t.Fatal(err)
	}
	got, err := d.ReadRecord()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b network.Plan) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	entries, err := os.ReadDir(d.Path())
	if err != nil || len(entries) != 1 {
		t.Errorf("left are %v, %v", entries, err)
	}
}
