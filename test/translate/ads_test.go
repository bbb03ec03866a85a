package translate

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// bootstrap connects an Envoy to the test's ADS and SDS server; %[1]s is its directory.
const bootstrap = `
node: {id: test, cluster: test}
admin: {address: {pipe: {path: %[1]s/admin.sock}}}
dynamic_resources:
  ads_config: {api_type: GRPC, transport_api_version: V3, grpc_services: [{envoy_grpc: {cluster_name: xds-grpc}}]}
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: xds-grpc
    typed_extension_protocol_options: &h2
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment: {cluster_name: xds-grpc, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: %[1]s/xds.sock}}}}]}]}
  - name: sds-grpc
    typed_extension_protocol_options: *h2
    load_assignment: {cluster_name: sds-grpc, endpoints: [{lb_endpoints: [{endpoint: {address: {pipe: {path: %[1]s/xds.sock}}}}]}]}
`

// warmDeadline is how long an Envoy may take from its start until nothing is warming.
const warmDeadline = 30 * time.Second

// A real Envoy takes all that the cases make: nothing is rejected, nothing stays in warming, and
// no listener or cluster waits for a route, an endpoint or a secret that nobody makes.
func TestEnvoyTakesEveryCase(t *testing.T) {
	envoy := envoytest.Path(t)
	secrets := envoytest.NewSecrets(t)
	forEachCase(t, func(t *testing.T, _ string, _ *txtar.Archive, c *Case) {
		r := Snapshot(c.Objects)
		for i := range c.Proxies {
			p := c.Proxies[i].Model()
			t.Run(p.Name, func(t *testing.T) {
				t.Parallel()
				load(t, envoy, newServer(Build(r, p), secrets))
			})
		}
	})
}

// load starts an Envoy against a server and waits until all is in force.
func load(t *testing.T, envoy string, s *server) {
	t.Helper()
	dir, err := os.MkdirTemp("", "translate") // short, for the sockets' sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s.serve(t, filepath.Join(dir, "xds.sock"))
	startEnvoy(t, envoy, dir)
	admin := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dir, "admin.sock"))
		},
	}}
	t.Cleanup(admin.CloseIdleConnections)
	ctx, cancel := context.WithTimeout(t.Context(), warmDeadline)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	missing := "no answer of its admin port"
	for missing != "" {
		select {
		case reason := <-s.rejected:
			t.Fatalf("rejected: %s", reason)
		case <-ctx.Done():
			log, _ := os.ReadFile(filepath.Join(dir, "log"))
			t.Fatalf("after %s: %s\n%s", warmDeadline, missing, log)
		case <-tick.C:
		}
		if state, err := configDump(ctx, admin); err == nil {
			missing = state.missing(s)
		}
	}
	if unknown := s.unknownNames(); len(unknown) > 0 {
		t.Errorf("it asked for what nobody makes: %s", strings.Join(unknown, ", "))
	}
}

// startEnvoy runs an Envoy in a network namespace of its own, so that it may bind every port.
func startEnvoy(t *testing.T, envoy, dir string) {
	t.Helper()
	config := filepath.Join(dir, "bootstrap.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, bootstrap, dir), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("sh", "-c", `ip link set lo up && exec "$@"`, "sh", envoy, "-c", config,
		"--disable-hot-restart", "--concurrency", "1", "-l", "warning")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close() // the child has its own
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatalf("starting Envoy in a network namespace (needs root): %v", err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
}

// dump is the part of Envoy's /config_dump that tells what is in force.
type dump struct{ active, waiting []string }

func configDump(ctx context.Context, admin *http.Client) (*dump, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://envoy/config_dump", nil)
	if err != nil {
		return nil, err
	}
	res, err := admin.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	type named struct {
		Name string `json:"name"`
	}
	var body struct {
		Configs []struct {
			ActiveClusters []struct {
				Cluster named `json:"cluster"`
			} `json:"dynamic_active_clusters"`
			WarmingClusters []struct {
				Cluster named `json:"cluster"`
			} `json:"dynamic_warming_clusters"`
			Listeners []struct {
				named
				Active  json.RawMessage `json:"active_state"`
				Warming json.RawMessage `json:"warming_state"`
				Error   json.RawMessage `json:"error_state"`
			} `json:"dynamic_listeners"`
		} `json:"configs"`
	}
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		return nil, err
	}
	out := &dump{}
	for _, c := range body.Configs {
		for _, x := range c.ActiveClusters {
			out.active = append(out.active, "clusters "+x.Cluster.Name)
		}
		for _, x := range c.WarmingClusters {
			out.waiting = append(out.waiting, "cluster "+x.Cluster.Name)
		}
		for _, l := range c.Listeners {
			if l.Active != nil {
				out.active = append(out.active, "listeners "+l.Name)
			}
			if l.Warming != nil || l.Error != nil {
				out.waiting = append(out.waiting, "listener "+l.Name)
			}
		}
	}
	return out, nil
}

// missing says what is not in force yet; empty when all is.
func (d *dump) missing(s *server) string {
	if len(d.waiting) > 0 {
		return "warming: " + strings.Join(d.waiting, ", ")
	}
	for _, kind := range []string{"clusters", "listeners"} {
		for _, r := range s.resources.ByType[kind] {
			if !slices.Contains(d.active, kind+" "+r.Name) {
				return "not there: " + kind + " " + r.Name
			}
		}
	}
	return ""
}
