package translate

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// writeHosts writes a cluster's hosts where an Envoy follows them.
func writeHosts(t *testing.T, path string, hosts ...ir.Endpoint) {
	t.Helper()
	a := &ir.LoadAssignment{Cluster: "auto", Localities: []ir.LocalityEndpoints{{Endpoints: hosts}}}
	b, err := protojson.Marshal(&discovery.DiscoveryResponse{Resources: []*anypb.Any{envoy.Any(envoy.LoadAssignment(a))}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".new", b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(path+".new", path); err != nil { // Envoy follows moves
		t.Fatal(err)
	}
}

// With automatic TLS an Envoy speaks TLS to every host but those that are marked, and follows a mark
// that comes and goes on a host that it has.
func TestEnvoySpeaksTLSUnlessTold(t *testing.T) {
	says := func(what string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, what) })
	}
	secured, plain := httptest.NewTLSServer(says("secured")), httptest.NewServer(says("plain"))
	defer secured.Close()
	defer plain.Close()
	host := func(s *httptest.Server, plaintext bool) ir.Endpoint {
		port := s.Listener.Addr().(*net.TCPAddr).Port
		return ir.Endpoint{Address: "127.0.0.1", Port: uint32(port), Weight: 1, Workload: "w", Plaintext: plaintext}
	}
	eds := filepath.Join(t.TempDir(), "eds.json")
	writeHosts(t, eds, host(secured, false))
	addr := runAutoTLS(t, eds)
	answers := func(want string) bool {
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		res, err := client.Get("http://" + addr)
		if err != nil {
			return want == ""
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return err == nil && string(b) == want
	}
	envoytest.Eventually(t, "TLS to a host without a mark", func() bool { return answers("secured") })
	writeHosts(t, eds, host(plain, true))
	envoytest.Eventually(t, "plaintext to a marked host", func() bool { return answers("plain") })
	writeHosts(t, eds, host(plain, false))
	envoytest.Eventually(t, "no plaintext after the mark is gone", func() bool { return answers("") })
	writeHosts(t, eds, host(plain, true))
	envoytest.Eventually(t, "plaintext after the mark is back", func() bool { return answers("plain") })
}

// runAutoTLS runs an Envoy that hands connections to a cluster whose hosts stand in a file.
func runAutoTLS(t *testing.T, eds string) string {
	t.Helper()
	cl := envoy.Cluster(&ir.Cluster{
		Name: "auto", ConnectTimeout: time.Second, Breakers: ir.Breakers{MaxConnections: 10, MaxPendingRequests: 10},
		AutoTLS: true, TLS: &ir.UpstreamTLS{},
	})
	cl.EdsClusterConfig.EdsConfig = &core.ConfigSource{ConfigSourceSpecifier: &core.ConfigSource_PathConfigSource{
		PathConfigSource: &core.PathConfigSource{Path: eds},
	}}
	port := envoytest.FreePort(t)
	l := envoy.Listener(&ir.Listener{
		Name: "in", Address: "127.0.0.1", Port: uint32(port), BindToPort: true, Chains: []*ir.FilterChain{
			{Filters: []ir.NetworkFilter{&ir.TCPProxy{StatPrefix: "auto", Clusters: []ir.WeightedCluster{{Name: "auto"}}}}},
		},
	})
	startStatic(t, &bootstrapv3.Bootstrap{StaticResources: &bootstrapv3.Bootstrap_StaticResources{
		Clusters: []*clusterv3.Cluster{cl}, Listeners: []*listenerv3.Listener{l},
	}})
	return "127.0.0.1:" + strconv.Itoa(port)
}
