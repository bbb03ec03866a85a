// Package e2e runs whole meshes on this machine with `pilotctl up` and asserts what users would
// see: traffic, identities, live edits, tables, and that nothing is left behind. It needs root,
// and bin/ and .images/ as `make images` builds them.
package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// root is the checkout.
func root(t testing.TB) string {
	t.Helper()
	dir, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// meshes is where they keep their state.
const meshes = "/run/pilothouse"

// mesh is one running `pilotctl up`.
type mesh struct {
	t       testing.TB
	name    string
	dir     string // the directory that it runs, a copy that tests may edit
	gateway string // URL without a trailing slash
	cmd     *exec.Cmd
	output  *output
	ended   chan struct{}
	err     error // of the command, once ended is closed
}

// output keeps what the command printed, for messages and for waiting on a line.
type output struct {
	mu    sync.Mutex
	lines []string
	more  chan struct{} // closed and replaced at each line
}

func newOutput() *output { return &output{more: make(chan struct{})} }

func (o *output) read(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		o.mu.Lock()
		o.lines = append(o.lines, s.Text())
		close(o.more)
		o.more = make(chan struct{})
		o.mu.Unlock()
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return strings.Join(o.lines, "\n")
}

// wait gives the first match of the expression in any line.
func (o *output) wait(ctx context.Context, re *regexp.Regexp) (string, error) {
	seen := 0
	for {
		o.mu.Lock()
		lines, more := o.lines[seen:], o.more
		seen = len(o.lines)
		o.mu.Unlock()
		for _, l := range lines {
			if m := re.FindString(l); m != "" {
				return m, nil
			}
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("no line matches %q: %w", re, ctx.Err())
		case <-more:
		}
	}
}

// copyDir copies the sample's own files (not its sub-folders) to a folder of the test's.
func copyDir(t testing.TB, from string) string {
	t.Helper()
	to := t.TempDir()
	entries, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if filepath.Ext(e.Name()) != ".yaml" {
			continue
		}
		data, err := os.ReadFile(filepath.Join(from, e.Name()))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(to, e.Name()), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

var urlLine = regexp.MustCompile(`^Gateway: http://[0-9.]+(:[0-9]+)?`)

// start runs a mesh and waits until it says where its gateway is.
func start(t testing.TB, name, dir string, args ...string) *mesh {
	t.Helper()
	m := &mesh{t: t, name: name, dir: dir, output: newOutput(), ended: make(chan struct{})}
	m.cmd = exec.Command(filepath.Join(root(t), "bin/pilotctl"), append([]string{"up", dir, "--name", name}, args...)...)
	pipe, err := m.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	m.cmd.Stderr = m.cmd.Stdout
	if err := m.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		m.output.read(pipe)
		m.err = m.cmd.Wait()
		close(m.ended)
	}()
	t.Cleanup(func() {
		if t.Failed() {
			m.explain()
		}
		m.stop()
	})
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	go func() {
		select {
		case <-m.ended:
			cancel()
		case <-ctx.Done():
		}
	}()
	line, err := m.output.wait(ctx, urlLine)
	if err != nil {
		t.Fatalf("up %s: %v\n%s", dir, err, m.output)
	}
	m.gateway = strings.TrimPrefix(line, "Gateway: ")
	return m
}

// stop ends the mesh as Ctrl-C does and waits for it.
func (m *mesh) stop() {
	select {
	case <-m.ended:
		return
	default:
	}
	if err := m.cmd.Process.Signal(syscall.SIGINT); err != nil && !errors.Is(err, os.ErrProcessDone) {
		m.t.Errorf("interrupting up: %v", err)
	}
	select {
	case <-m.ended:
	case <-time.After(time.Minute):
		m.t.Errorf("up did not end within a minute of SIGINT:\n%s", m.output)
		_ = m.cmd.Process.Kill()
		<-m.ended
	}
	if m.err != nil {
		m.t.Errorf("up ended with %v:\n%s", m.err, m.output)
	}
}

// explain prints what helps to understand a failure.
func (m *mesh) explain() {
	m.t.Logf("output of up:\n%s", m.output)
	if out, err := os.ReadFile(filepath.Join("/run/pilothouse", m.name, "discovery.log")); err == nil {
		lines := strings.Split(string(out), "\n")
		m.t.Logf("control plane's log:\n%s", strings.Join(lines[max(0, len(lines)-40):], "\n"))
	}
	if out, err := m.try("proxy-status"); err == nil {
		m.t.Logf("proxy-status:\n%s", out)
	}
}

// try runs a command of pilotctl for the mesh; the error holds what it wrote to stderr.
func (m *mesh) try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	full := []string{"--name", m.name}
	cmd := exec.CommandContext(ctx, filepath.Join(root(m.t), "bin/pilotctl"), append(full, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("pilotctl %s: %w: %s", strings.Join(args, " "), err, stderr.String())
	}
	return stdout.String(), nil
}

func (m *mesh) ctl(t testing.TB, args ...string) string {
	t.Helper()
	out, err := m.try(args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// write puts a file into the mesh's directory the way editors do: beside it, then renamed.
func (m *mesh) write(t testing.TB, name, text string) {
	t.Helper()
	tmp := filepath.Join(m.dir, "."+name+".swp")
	if err := os.WriteFile(tmp, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(m.dir, name)); err != nil {
		t.Fatal(err)
	}
}

// reply is one answer of the gateway; status is 0 where there was none.
type reply struct {
	status int
	body   string
	header http.Header
	took   time.Duration
	err    error
}

// client keeps no connection for longer than a request, so that each is routed anew.
var client = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}

// get asks the gateway; headers alternate names and values.
func (m *mesh) get(path string, headers ...string) reply {
	began := time.Now()
	req, err := http.NewRequestWithContext(m.t.Context(), http.MethodGet, m.gateway+path, nil)
	if err != nil {
		return reply{err: err}
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return reply{err: err, took: time.Since(began)}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return reply{status: resp.StatusCode, body: string(body), header: resp.Header, took: time.Since(began), err: err}
}

// eventually asks until the condition holds; its message is what it last said.
func eventually(t testing.TB, within time.Duration, what string, holds func() error) {
	t.Helper()
	deadline := time.Now().Add(within)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		err := holds()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %s: %v", what, within, err)
		}
		<-tick.C
	}
}

// load sends requests at a steady rate until it is stopped, and keeps what failed.
type load struct {
	cancel   context.CancelFunc
	all      sync.WaitGroup
	mu       sync.Mutex
	sent     int
	failures []string
}

// startLoad asks for path at the rate (requests a second), in parallel as needed.
func (m *mesh) startLoad(rate int, path string) *load {
	ctx, cancel := context.WithCancel(m.t.Context())
	l := &load{cancel: cancel}
	l.all.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(rate))
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			l.all.Go(func() {
				r := m.get(path)
				l.mu.Lock()
				defer l.mu.Unlock()
				l.sent++
				if r.err != nil || r.status != http.StatusOK {
					l.failures = append(l.failures, fmt.Sprintf("%s: %d %v %.200s", time.Now().Format("15:04:05.000"), r.status, r.err, r.body))
				}
			})
		}
	})
	return l
}

// stop ends the load and fails the test where a request failed, or where hardly any was sent.
func (l *load) stop(t testing.TB, atLeast int) {
	t.Helper()
	l.cancel()
	l.all.Wait()
	if len(l.failures) > 0 {
		t.Errorf("%d of %d requests failed, the first: %s", len(l.failures), l.sent, strings.Join(l.failures[:min(5, len(l.failures))], "\n"))
	}
	if l.sent < atLeast {
		t.Errorf("only %d requests were sent, at least %d were expected", l.sent, atLeast)
	}
	t.Logf("%d requests, %d failed", l.sent, len(l.failures))
}
