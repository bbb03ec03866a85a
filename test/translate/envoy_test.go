package translate

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"golang.org/x/tools/txtar"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

func inlined(t *testing.T, res Resources) []*listenerv3.Listener {
	t.Helper()
	out, err := Inlined(res)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func address(port int) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: "127.0.0.1", PortSpecifier: &core.SocketAddress_PortValue{PortValue: uint32(port)},
	}}}
}

// staticCluster leads to one port of loopback, in HTTP as the cluster that it stands for.
func staticCluster(of *clusterv3.Cluster, port int) *clusterv3.Cluster {
	return &clusterv3.Cluster{
		Name: of.Name,
		LoadAssignment: &endpointv3.ClusterLoadAssignment{ClusterName: of.Name, Endpoints: []*endpointv3.LocalityLbEndpoints{{
			LbEndpoints: []*endpointv3.LbEndpoint{{HostIdentifier: &endpointv3.LbEndpoint_Endpoint{
				Endpoint: &endpointv3.Endpoint{Address: address(port)},
			}}},
		}}},
		TypedExtensionProtocolOptions: of.TypedExtensionProtocolOptions,
	}
}

func writeBootstrap(t *testing.T, b *bootstrapv3.Bootstrap) string {
	t.Helper()
	data, err := protojson.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "envoy.json")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// A real Envoy takes the listeners and routes of every case.
func TestEnvoyAcceptsListenersAndRoutes(t *testing.T) {
	program := envoytest.Path(t)
	forEachCase(t, func(t *testing.T, _ string, _ *txtar.Archive, c *Case) {
		t.Parallel()
		r := Snapshot(c.Objects)
		for i := range c.Proxies {
			p := c.Proxies[i].Model()
			b := &bootstrapv3.Bootstrap{
				Node: &core.Node{Id: "test", Cluster: "test"},
				StaticResources: &bootstrapv3.Bootstrap_StaticResources{
					Listeners: inlined(t, Build(r, p)), Clusters: []*clusterv3.Cluster{staticCluster(&clusterv3.Cluster{Name: "sds-grpc"}, 1)},
				},
			}
			// Clusters that are missing are no fault of listeners; TCP filters want them at once.
			for _, cl := range Build(r, p).ByType["clusters"] {
				b.StaticResources.Clusters = append(b.StaticResources.Clusters, staticCluster(cl.Body.(*clusterv3.Cluster), 1))
			}
			file := writeBootstrap(t, b)
			out, err := exec.CommandContext(t.Context(), program, "--mode", "validate", "--disable-hot-restart", "--concurrency", "1", "-l", "error",
				"-c", file).CombinedOutput()
			// Envoy 1.40 crashes when it has validated a shared scope of statistics, as it takes down what it
			// never started (a running one ends well), so what it says counts.
			if !strings.Contains(string(out), "configuration '"+file+"' OK") {
				t.Errorf("%s: %v\n%s", p.Name, err, out)
			}
		}
	})
}

// startStatic runs an Envoy without a control plane until the test ends and waits until it serves.
func startStatic(t *testing.T, b *bootstrapv3.Bootstrap) {
	t.Helper()
	admin := envoytest.FreePort(t)
	b.Node, b.Admin = &core.Node{Id: "test", Cluster: "test"}, &bootstrapv3.Admin{Address: address(admin)}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, envoytest.Path(t), "--disable-hot-restart", "--concurrency", "1", "-l", "warn", "-c", writeBootstrap(t, b))
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Log(log.String())
		}
	})
	awaitReady(t, "http://127.0.0.1:"+strconv.Itoa(admin)+"/ready")
}

func awaitReady(t *testing.T, url string) {
	t.Helper()
	deadline, tick := time.After(2*time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		if res, err := http.Get(url); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-deadline:
			t.Fatal("Envoy does not get ready")
		case <-tick.C:
		}
	}
}
