package envoy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// TestMain lets the test program play Envoy: "fake MODE ARG".
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "fake" {
		fake(os.Args[2], os.Args[3])
		return
	}
	goleak.VerifyTestMain(m)
}

func fake(mode, arg string) {
	switch mode {
	case "exit":
		code, _ := strconv.Atoi(arg)
		os.Exit(code)
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	case "limit":
		var l syscall.Rlimit
		syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l)
		fmt.Fprintln(os.Stdout, l.Cur == l.Max)
	case "run": // until SIGTERM
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		os.WriteFile(arg, []byte(strconv.Itoa(os.Getpid())), 0o600)
		<-term
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		os.WriteFile(arg, []byte(strconv.Itoa(os.Getpid())), 0o600)
		select {}
	case "agent": // the agent's part: runs a fake Envoy until it is killed
		New(Config{Path: os.Args[0], Args: []string{"fake", "run", arg}, Logger: slog.New(slog.DiscardHandler)}).
			Run(context.Background(), nil)
	}
}

// config runs a fake Envoy.
func config(admin string, args ...string) Config {
	return Config{
		Path: os.Args[0], Args: append([]string{"fake"}, args...), Admin: admin,
		Stdout: os.Stdout, Stderr: os.Stderr, Logger: slog.New(slog.DiscardHandler),
	}
}

// adminStub records what Envoy's admin interface was asked; answers come from active.
type adminStub struct {
	mu     sync.Mutex
	calls  []string
	active func(n int) (string, int) // n-th look at the connections
	looks  int
	called chan struct{}
}

func serveAdmin(t *testing.T, a *adminStub) string {
	a.called = make(chan struct{}, 100)
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	return strings.TrimPrefix(s.URL, "http://")
}

func (a *adminStub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, r.Method+" "+r.URL.String())
	if strings.HasPrefix(r.URL.Path, "/stats") {
		body, status := a.active(a.looks)
		a.looks++
		w.WriteHeader(status)
		fmt.Fprint(w, body)
	}
	a.called <- struct{}{}
}

func (a *adminStub) log() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return strings.Join(a.calls, "\n")
}

// running starts a fake Envoy that notes its pid, and gives the pid once it is up.
func running(t *testing.T, cfg Config, pidFile string, hurry <-chan struct{}) (pid int, stop context.CancelFunc, ended <-chan error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	end := make(chan error, 1)
	go func() { end <- New(cfg).Run(ctx, hurry) }()
	return awaitPid(t, pidFile), cancel, end
}

func awaitPid(t *testing.T, file string) int {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		data, _ := os.ReadFile(file)
		if pid, err := strconv.Atoi(string(data)); err == nil {
			return pid
		}
	}
	t.Fatal("the fake Envoy did not start")
	return 0
}

func TestFate(t *testing.T) {
	for _, tc := range []struct {
		args []string
		code int // 0: no error
	}{
		{[]string{"exit", "0"}, 0},
		{[]string{"exit", "3"}, 3},
		{[]string{"die", ""}, 137},
	} {
		err := New(config("", tc.args...)).Run(t.Context(), nil)
		var exit *ExitError
		switch {
		case tc.code == 0 && err != nil:
			t.Errorf("%v: %v", tc.args, err)
		case tc.code != 0 && (!errors.As(err, &exit) || exit.ExitCode() != tc.code):
			t.Errorf("%v: %v, want exit code %d", tc.args, err, tc.code)
		}
	}
	cfg := config("")
	cfg.Path = "/nowhere/envoy"
	if err := New(cfg).Run(t.Context(), nil); err == nil || !strings.Contains(err.Error(), "/nowhere/envoy did not start") {
		t.Errorf("absent program: %v", err)
	}
}

func TestOpenFilesLimit(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	cfg := config("", "limit", "")
	cfg.Stdout = out
	if err := New(cfg).Run(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(out.Name()); strings.TrimSpace(string(got)) != "true" {
		t.Errorf("Envoy got less than the hard limit of open files: %s", got)
	}
}

func TestStopDrainsFirst(t *testing.T) {
	for _, inbound := range []bool{true, false} {
		stub := &adminStub{}
		pidFile := filepath.Join(t.TempDir(), "pid")
		cfg := config(serveAdmin(t, stub), "run", pidFile)
		cfg.Drain = DrainPolicy{InboundOnly: inbound, Wait: 100 * time.Millisecond}
		_, stop, ended := running(t, cfg, pidFile, nil)
		begin := time.Now()
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < cfg.Drain.Wait {
			t.Errorf("stopped after %v, want at least %v", took, cfg.Drain.Wait)
		}
		want := "POST /drain_listeners?graceful"
		if inbound {
			want = "POST /drain_listeners?inboundonly&graceful"
		}
		if stub.log() != want {
			t.Errorf("admin was asked %q, want %q", stub.log(), want)
		}
	}
}

func TestHurryEndsTheDrain(t *testing.T) {
	stub := &adminStub{}
	pidFile := filepath.Join(t.TempDir(), "pid")
	cfg := config(serveAdmin(t, stub), "stubborn", pidFile)
	cfg.Drain = DrainPolicy{Wait: time.Hour}
	hurry := make(chan struct{})
	_, stop, ended := running(t, cfg, pidFile, hurry)
	stop()
	<-stub.called
	close(hurry)
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestEnvoyThatEndsWhileDraining(t *testing.T) {
	stub := &adminStub{}
	pidFile := filepath.Join(t.TempDir(), "pid")
	cfg := config(serveAdmin(t, stub), "run", pidFile)
	cfg.Drain = DrainPolicy{Wait: time.Hour}
	pid, stop, ended := running(t, cfg, pidFile, nil)
	stop()
	<-stub.called
	syscall.Kill(pid, syscall.SIGTERM)
	if err := <-ended; err != nil {
		t.Errorf("an end during the drain is an orderly one, got %v", err)
	}
}

func TestUntilIdle(t *testing.T) {
	const own = "listener.admin.downstream_cx_active: 1\nlistener.0.0.0.0_15021.downstream_cx_active: 2\n" +
		"listener.0.0.0.0_15090.downstream_cx_active: 1\nlistener.0.0.0.0_15092.downstream_cx_active: 1\nlistener.envoy_internal_x.downstream_cx_active: 7\n" +
		"listener.0.0.0.0_15006.worker_0.downstream_cx_active: 9\nhttp.x.downstream_cx_active: 9\n"
	for name, tc := range map[string]struct {
		active func(int) (string, int)
		looks  int
	}{
		"goes idle": {func(n int) (string, int) {
			return own + fmt.Sprintf("listener.0.0.0.0_15006.downstream_cx_active: %d\n", max(2-n, 0)), 200
		}, 3},
		"tells nothing": {func(int) (string, int) { return "", 500 }, maxPollFailures},
	} {
		t.Run(name, func(t *testing.T) {
			stub := &adminStub{active: tc.active}
			pidFile := filepath.Join(t.TempDir(), "pid")
			cfg := config(serveAdmin(t, stub), "run", pidFile)
			cfg.Drain = DrainPolicy{UntilIdle: true, Minimum: time.Millisecond, Poll: time.Millisecond, Wait: time.Hour}
			_, stop, ended := running(t, cfg, pidFile, nil)
			stop()
			if err := <-ended; err != nil {
				t.Fatal(err)
			}
			if stub.looks != tc.looks {
				t.Errorf("looked %d times, want %d", stub.looks, tc.looks)
			}
		})
	}
}

func TestStopAfterDrainWaitsNoMore(t *testing.T) {
	stub := &adminStub{}
	pidFile := filepath.Join(t.TempDir(), "pid")
	cfg := config(serveAdmin(t, stub), "run", pidFile)
	cfg.Drain = DrainPolicy{InboundOnly: true, Wait: time.Hour}
	p := New(cfg)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx, nil) }()
	awaitPid(t, pidFile)
	if err := p.Drain(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if want := "POST /drain_listeners?inboundonly&graceful&skip_exit"; stub.log() != want {
		t.Errorf("admin was asked %q, want %q", stub.log(), want)
	}
}

// A killed agent leaves no Envoy behind.
func TestKilledAgent(t *testing.T) {
	pidFile := filepath.Join(t.TempDir(), "pid")
	agent := exec.Command(os.Args[0], "fake", "agent", pidFile)
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	pid := awaitPid(t, pidFile)
	agent.Process.Kill()
	agent.Wait()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || bytes.Contains(stat, []byte(") Z ")) {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("Envoy %d outlived its agent", pid)
		}
	}
}

func TestVersion(t *testing.T) {
	got, err := Version(t.Context(), envoytest.Path(t))
	if err != nil || !strings.HasPrefix(got, "1.") {
		t.Errorf("version %q, %v", got, err)
	}
	for output, want := range map[string]string{
		"envoy  version: 9e55/1.40.0/Clean/RELEASE/BoringSSL":     "",
		"envoy  version: 9e55/1.41.2-dev/Clean/RELEASE/BoringSSL": "",
		"envoy  version: 9e55/2.0.0/Clean/RELEASE/BoringSSL":      "",
		"envoy  version: 9e55/1.33.1/Clean/RELEASE/BoringSSL":     "older than the API",
		"nginx/1.2.3": "no version of Envoy",
	} {
		_, err := parseVersion("envoy", output)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", output, err, want)
		}
	}
	if _, err := Version(t.Context(), "/nowhere"); err == nil {
		t.Error("an absent program has a version")
	}
}

func TestArgs(t *testing.T) {
	got := strings.Join(Args(Options{Bootstrap: "/b.json", DrainDuration: 45 * time.Second, IPv6: true, LogLevel: "info", ComponentLogLevel: "misc:error", Override: "admin: {}", Concurrency: 2}), " ")
	want := "-c /b.json --drain-time-s 45 --drain-strategy immediate --local-address-ip-version v6 --file-flush-interval-msec 1000 " +
		"--disable-hot-restart --allow-unknown-static-fields --skip-deprecated-logs -l info --component-log-level misc:error --config-yaml admin: {} --concurrency 2"
	if got != want {
		t.Errorf("args\n%s\nwant\n%s", got, want)
	}
}
