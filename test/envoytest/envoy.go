package envoytest

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// bootstrap connects an Envoy to a Gate. A broken stream comes back soon, and nothing is waited for
// less than for ever but what the server sets a limit to.
const bootstrap = `
node: {id: %[1]q, cluster: test}
admin: {address: {pipe: {path: %[2]s/admin.sock}}}
layered_runtime: {layers: [{name: static, static_layer: {re2.max_program_size.error_level: 32768}}]} # as proxies have it
dynamic_resources:
  ads_config:
    api_type: %[4]s
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services:
    - envoy_grpc:
        cluster_name: ads
        retry_policy: {retry_back_off: {base_interval: 0.05s, max_interval: 0.2s}}
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: ads
    typed_extension_protocol_options: &h2
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: ads, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: %[3]s}}}}]}]}
  - name: sds-grpc
    typed_extension_protocol_options: *h2
    load_assignment: {cluster_name: sds-grpc, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: %[3]s}}}}]}]}
`

// Config of an Envoy.
type Config struct {
	Node   string // its ID, e.g. sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local
	Gate   *Gate  // its control plane
	Socket string // its control plane where that is no Gate
	SotW   bool   // speaks state of the world
	// In is a network namespace of the test's own to run in; nil for that of the test itself.
	In *Namespace
	// Flags are further ones of its command line.
	Flags []string
	Apart bool          // in a network namespace of its own, so that it may bind any port; needs root
	Drain time.Duration // how long a former listener serves on, in whole seconds; at least one
}

// Envoy is a running Envoy with one worker.
type Envoy struct {
	dir   string
	cmd   *exec.Cmd
	admin *http.Client
}

// Run runs an Envoy behind a Gate until the test ends, or until Stop. Its log is shown where the test
// fails.
func Run(t testing.TB, c Config) *Envoy {
	t.Helper()
	dir, err := os.MkdirTemp("", "envoy") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	e := &Envoy{dir: dir}
	e.admin = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "admin.sock"))
		},
	}}
	config, logPath := filepath.Join(dir, "bootstrap.yaml"), filepath.Join(dir, "log")
	t.Cleanup(func() {
		e.Stop()
		if t.Failed() {
			text, _ := os.ReadFile(logPath) // none where it did not start
			t.Logf("log of %s:\n%s", c.Node, text)
		}
		_ = os.RemoveAll(dir)
	})
	if err := os.WriteFile(config, c.bootstrap(dir), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.Create(logPath)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the child has its own
	e.cmd = c.command(Path(t), config)
	e.cmd.Stderr = log
	start := e.cmd.Start
	if c.In != nil {
		start = func() (err error) {
			c.In.Do(func() { err = e.cmd.Start() })
			return err
		}
	}
	if err := start(); err != nil {
		t.Fatal(err)
	}
	return e
}

// bootstrap gives the bootstrap of an Envoy whose files are in a directory.
func (c Config) bootstrap(dir string) []byte {
	api, socket := "DELTA_GRPC", c.Socket
	if c.SotW {
		api = "GRPC"
	}
	if c.Gate != nil {
		socket = c.Gate.Socket
	}
	return fmt.Appendf(nil, bootstrap, c.Node, dir, socket, api)
}

// command gives the command that runs the Envoy of a path.
func (c Config) command(path, config string) *exec.Cmd {
	command := []string{
		path, "-c", config, "--disable-hot-restart", "--concurrency", "1",
		"-l", "warning", "--component-log-level", "misc:error", // without deprecated fields
		"--drain-time-s", strconv.Itoa(max(1, int(c.Drain/time.Second))), "--drain-strategy", "immediate",
	}
	command = append(command, c.Flags...)
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if c.Apart {
		command = append([]string{"sh", "-c", `ip link set lo up && exec "$@"`, "sh"}, command...)
		attr.Cloneflags = syscall.CLONE_NEWNET
	}
	if c.In != nil {
		attr.Pdeathsig = 0 // its thread ends before the process
	}
	out := exec.Command(command[0], command[1:]...)
	out.SysProcAttr = attr
	return out
}

// Stop kills the Envoy.
func (e *Envoy) Stop() {
	if e.cmd == nil || e.cmd.Process == nil || e.cmd.ProcessState != nil {
		return
	}
	_ = e.cmd.Process.Kill()
	_ = e.cmd.Wait() // it was killed
	e.admin.CloseIdleConnections()
}

// Get reads a page of the administration; it is empty where Envoy does not answer.
func (e *Envoy) Get(path string) string {
	res, err := e.admin.Get("http://envoy" + path)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return ""
	}
	return string(b)
}

// Dump decodes a page of the administration that is JSON.
func (e *Envoy) Dump(path string, into any) error {
	text := e.Get(path)
	if text == "" {
		return fmt.Errorf("no answer for %s", path)
	}
	return json.Unmarshal([]byte(text), into)
}

// Stat gives a counter or gauge by its name; -1 where there is none.
func (e *Envoy) Stat(name string) int {
	filter := "^" + strings.NewReplacer(".", `\.`, "|", `\|`).Replace(name) + "$"
	for line := range strings.Lines(e.Get("/stats?filter=" + url.QueryEscape(filter))) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			if n, err := strconv.Atoi(strings.TrimSpace(value)); err == nil {
				return n
			}
		}
	}
	return -1
}

// Live tells whether the first configuration is in force.
func (e *Envoy) Live() bool { return strings.TrimSpace(e.Get("/ready")) == "LIVE" }

// Warming tells how many clusters and listeners wait for something.
func (e *Envoy) Warming() (clusters, listeners int) {
	return e.Stat("cluster_manager.warming_clusters"), e.Stat("listener_manager.total_listeners_warming")
}

// patience is how long Eventually waits.
const patience = 2 * time.Minute

// Eventually waits for a condition.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}
