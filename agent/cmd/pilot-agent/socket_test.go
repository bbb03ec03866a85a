package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"
)

// Whoever serves the workload's socket gives its identity; a socket of another name has to be served.
func TestTheWorkloadsSocketIsFound(t *testing.T) {
	root := t.TempDir()
	dir := filepath.Join(root, "var/run/secrets/workload-spiffe-uds")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	find := func(env map[string]string) (string, []error) {
		v := &variables{env: env}
		return workloadSocket(root, v), v.errs
	}
	named := map[string]string{"WORKLOAD_IDENTITY_SOCKET_FILE": "spire.sock"}
	if got, errs := find(nil); got != "" || len(errs) > 0 {
		t.Errorf("nobody serves it: %q, %v", got, errs)
	}
	if got, errs := find(named); got != "" || len(errs) != 1 {
		t.Errorf("nobody serves the named one: %q, %v", got, errs)
	}
	for _, name := range []string{"socket", "spire.sock"} {
		l, err := net.Listen("unix", filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
	}
	if got, errs := find(nil); got != filepath.Join(dir, "socket") || len(errs) > 0 {
		t.Errorf("the usual one: %q, %v", got, errs)
	}
	if got, errs := find(named); got != filepath.Join(dir, "spire.sock") || len(errs) > 0 {
		t.Errorf("the named one: %q, %v", got, errs)
	}
	if got, _ := find(map[string]string{"FILE_MOUNTED_CERTS": "true"}); got != "" {
		t.Errorf("mounted certificates come first: %q", got)
	}
}
