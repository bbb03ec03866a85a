package file

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestEmptiedDirectoryWaits empties a directory in the ways in which that happens, and confirms it.
func TestEmptiedDirectoryWaits(t *testing.T) {
	for how, empty := range map[string]func(dir string){
		"another directory in its place, as under a disk that is not mounted": func(dir string) {
			if err := os.Rename(dir, dir+".old"); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
		},
		"rm -rf of what it holds": func(dir string) {
			for _, name := range []string{"a.yaml", "b.yaml", "c.yaml"} {
				removeFile(t, filepath.Join(dir, name))
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "config")
			if err := os.Mkdir(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"a", "b", "c"} {
				write(t, filepath.Join(dir, name+".yaml"), service(name, "one"))
			}
			r := start(t, dir)
			empty(dir)
			confirmation := filepath.Join(dir, ".allow-empty")
			r.eventually(t, "reported", func() bool { return r.degraded(dir, "create the file "+confirmation) })
			if len(r.objects) != 3 || len(r.deleted) != 0 || !r.hasProblem("Service/default/a, Service/default/b, Service/default/c") {
				t.Fatalf("objects %v, deleted %v, problems %v", r.objects, r.deleted, r.problems)
			}
			write(t, filepath.Join(dir, "b.yaml"), service("b", "two"))
			r.eventually(t, "one is back", func() bool { return r.value("b") == "two" })
			if len(r.objects) != 3 || !r.hasProblem("Service/default/a, Service/default/c") {
				t.Fatalf("objects %v, problems %v", r.objects, r.problems)
			}
			write(t, confirmation, "")
			r.eventually(t, "confirmed", func() bool { return len(r.objects) == 1 && len(r.problems) == 0 })
			removeFile(t, filepath.Join(dir, "b.yaml"))
			r.eventually(t, "the last as well", func() bool { return len(r.objects) == 0 && len(r.problems) == 0 })
		})
	}
}

// TestEmptiedAndFilledAgain mounts a disk again.
func TestEmptiedAndFilledAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "config")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "a.yaml"), service("a", "one")+"---\n"+service("b", "one"))
	r := start(t, dir)
	if err := os.Rename(dir, dir+".old"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "reported", func() bool { return r.degraded(dir, "found empty") })
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(dir+".old", dir); err != nil {
		t.Fatal(err)
	}
	r.eventually(t, "back", func() bool { return len(r.problems) == 0 })
	if len(r.objects) != 2 || len(r.deleted) != 0 {
		t.Errorf("objects %v, deleted %v", r.objects, r.deleted)
	}
}

// TestFilesAreDeletedOneByOne deletes all files but the last by hand, then that.
func TestFilesAreDeletedOneByOne(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b", "c"} {
		write(t, filepath.Join(dir, name+".yaml"), service(name, "one"))
	}
	r := start(t, dir)
	for _, name := range []string{"a", "b"} {
		removeFile(t, filepath.Join(dir, name+".yaml"))
		r.eventually(t, "deleted: "+name, func() bool { return r.objects[key(name)] == nil })
	}
	removeFile(t, filepath.Join(dir, "c.yaml"))
	r.eventually(t, "the last waits", func() bool { return r.degraded(dir, "Service/default/c") })
	if r.value("c") != "one" {
		t.Error("the last is gone without a confirmation")
	}
}

func TestEmptinessAllowedByOption(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), service("a", "one"))
	r := startWith(t, Options{Settle: time.Millisecond, Poll: 20 * time.Millisecond, AllowEmpty: true}, dir)
	removeFile(t, filepath.Join(dir, "a.yaml"))
	r.eventually(t, "deleted", func() bool { return len(r.objects) == 0 && len(r.problems) == 0 })
}
