package e2e

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"syscall"
	"testing"
	"time"
)

// capture records what crosses the mesh's network on the sample's port while f runs, and until the
// last words were seen: packets reach the file a moment after they were sent.
func (m *mesh) capture(t *testing.T, last string, f func()) []byte {
	t.Helper()
	file := filepath.Join(t.TempDir(), "wire.pcap")
	cmd := exec.Command("ip", "netns", "exec", "ph-"+m.name, "tcpdump", "-i", "any", "--immediate-mode", "-U", "-Z", "root", "-w", file, "tcp", "port", "9080")
	pipe, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	said := newOutput()
	read := make(chan struct{})
	go func() {
		said.read(pipe)
		close(read)
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if _, err := said.wait(ctx, regexp.MustCompile("listening on")); err != nil {
		t.Fatalf("tcpdump: %v: %s", err, said)
	}
	f()
	eventually(t, 10*time.Second, "the capture holds "+last, func() error {
		data, err := os.ReadFile(file)
		if err == nil && !bytes.Contains(data, []byte(last)) {
			err = errors.New("it proves nothing without")
		}
		return err
	})
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-read
	if err := cmd.Wait(); err != nil {
		t.Fatalf("tcpdump: %v: %s", err, said)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// testWire shows that nothing that sidecars say to each other can be read between pods. The
// request of a pod without a sidecar, in the same capture, proves that it would have been seen.
func testWire(t *testing.T, m *mesh) {
	data := m.capture(t, "GET /details/77", func() {
		for range 20 {
			if r := m.get("/productpage"); r.status != http.StatusOK {
				t.Errorf("productpage: %d %v", r.status, r.err)
			}
		}
		m.ctl(t, "exec", "plain", "--", "/usr/local/bin/bookinfo", "get", "http://details:9080/details/77")
	})
	for _, plain := range []string{"GET /details/0", "GET /reviews/0", "GET /ratings/0", "GET /productpage", "x-forwarded-client-cert"} {
		if bytes.Contains(data, []byte(plain)) {
			t.Errorf("%q crossed the network in plaintext", plain)
		}
	}
}
