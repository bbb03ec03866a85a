package secret

import (
	"context"
	"crypto/tls"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestOutputProvisioned has one workload write its certificate into a directory, one prove itself by those
// files without a token, and a third use them as they are, with no CA at all.
func TestOutputProvisioned(t *testing.T) {
	address, rootPath, authority := testCA(t, time.Hour)
	dir := filepath.Join(t.TempDir(), "certs")
	run := func(c Config) *Manager {
		c.Logger, c.Address, c.TLS = quietLog, address, ServerTLS(rootPath, "istiod.istio-system.svc")
		m := New(c)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Run(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
		return m
	}
	has := func(m *Manager, name string) *Value {
		t.Helper()
		for {
			changed := m.Changed()
			if v, err := m.Secret(name); err != nil {
				t.Fatal(err)
			} else if v != nil {
				return v
			}
			select {
			case <-changed:
			case <-time.After(time.Minute):
				t.Fatalf("there is no %s", name)
			}
		}
	}
	first := has(run(Config{Token: func() (string, error) { return "the-token", nil }, OutputDir: dir}), Workload)
	for _, file := range []string{keyFile, certFile, rootFile} {
		waitForFile(t, filepath.Join(dir, file))
	}
	if _, err := tls.LoadX509KeyPair(filepath.Join(dir, certFile), filepath.Join(dir, keyFile)); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(dir, keyFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v, %v", info.Mode(), err)
	}
	if left, _ := filepath.Glob(filepath.Join(dir, ".new*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if v := has(run(Config{ProvisionedDir: dir}), Workload); v.Version == first.Version {
		t.Error("the provisioned certificate is used as the workload's own")
	}
	mounted := run(Config{Mounted: MountedIn(dir)})
	if v := has(mounted, Workload); v.Version != first.Version || string(v.PrivateKey) != string(first.PrivateKey) {
		t.Error("the mounted certificate is not served")
	}
	if v := has(mounted, Root); string(v.Roots) != string(authority.RootPEM()) {
		t.Error("the mounted roots are not served")
	}
}

// waitForFile polls, for nobody tells that a file is there.
func waitForFile(t *testing.T, path string) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(path); err == nil {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("%s is not written", path)
		}
	}
}
