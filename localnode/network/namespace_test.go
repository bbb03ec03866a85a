package network

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestNamespace makes one, looks at it from inside and by its name, and removes it twice.
func TestNamespace(t *testing.T) {
	n := Namespace{Name: "ph-lnsingle", File: filepath.Join(t.TempDir(), "netns")}
	if err := n.Create(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.Delete(); err != nil {
			t.Error(err)
		}
	})
	id, err := n.ID()
	if err != nil {
		t.Fatal(err)
	}
	var inside string
	err = n.Do(func() (err error) {
		inside, err = os.Readlink("/proc/thread-self/ns/net")
		return err
	})
	if err != nil || inside != id {
		t.Errorf("inside it is %s, %v, and by its identity %s", inside, err, id)
	}
	out, err := exec.CommandContext(t.Context(), "ip", "netns", "exec", n.Name, "readlink", "/proc/self/ns/net").CombinedOutput()
	if err != nil || string(out) != id+"\n" {
		t.Errorf("by its name it is %s, %v", out, err)
	}
	if !n.Taken() {
		t.Error("its name is not taken")
	}
	for range 2 {
		if err := n.Delete(); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Lstat(n.File); n.Taken() || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}
