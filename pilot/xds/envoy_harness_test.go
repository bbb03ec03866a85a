package xds

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	routerv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// plane is a server that a real Envoy talks to; it can be restarted at its address, and cut its
// stream instead of sending a type.
type plane struct {
	t        *testing.T
	addr     string
	messages []push.Message

	engine *push.Engine
	server *Server
	grpc   *grpc.Server
	done   chan error

	cutting atomic.Int32 // the type whose next response cuts the stream, plus one; 0 for none
	cuts    atomic.Int32
	mu      sync.Mutex
	wrong   []model.Problem
}

func newPlane(t *testing.T, messages ...push.Message) *plane {
	p := &plane{t: t, addr: net.JoinHostPort("127.0.0.1", strconv.Itoa(envoytest.FreePort(t))), messages: messages}
	p.start()
	t.Cleanup(p.stop)
	return p
}

func (p *plane) start() {
	p.t.Helper()
	p.engine = push.New(push.Options{Report: func(problems []model.Problem) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wrong = problems
	}})
	p.server = New(Options{Source: p.engine, Logger: discard, RemovalGrace: 300 * time.Millisecond})
	p.set(p.messages...)
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		p.t.Fatal(err)
	}
	p.grpc = grpc.NewServer(grpc.ForceServerCodecV2(Codec()), grpc.StreamInterceptor(p.intercept))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(p.grpc, p.server.Service(nil))
	p.done = make(chan error, 1)
	go func() { p.done <- p.grpc.Serve(l) }()
}

func (p *plane) stop() {
	p.grpc.Stop()
	p.server.Wait()
	<-p.done
}

func (p *plane) set(messages ...push.Message) {
	p.t.Helper()
	p.messages = messages
	if err := p.engine.Apply(context.Background(), push.Commit{Translator: table(messages), Since: time.Now()}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plane) problems() []model.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrong
}

func (p *plane) intercept(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, cutter{ss, p})
}

// cut breaks the stream where a response of the type would be sent.
func (p *plane) cut(t push.Type) { p.cutting.Store(int32(t) + 1) }

type cutter struct {
	grpc.ServerStream
	p *plane
}

func (c cutter) SendMsg(m any) error {
	if r, ok := m.(*response); ok && c.p.cutting.CompareAndSwap(int32(r.typ)+1, 0) {
		c.p.cuts.Add(1)
		return status.Error(codes.Aborted, "cut by the test")
	}
	return c.ServerStream.SendMsg(m)
}

// envoy is a running Envoy.
type envoy struct {
	t     *testing.T
	admin string
}

func startEnvoy(t *testing.T, ads string) *envoy {
	t.Helper()
	_, port, err := net.SplitHostPort(ads)
	if err != nil {
		t.Fatal(err)
	}
	e := &envoy{t: t, admin: fmt.Sprintf("127.0.0.1:%d", envoytest.FreePort(t))}
	_, adminPort, _ := net.SplitHostPort(e.admin)
	dir := t.TempDir()
	file := filepath.Join(dir, "bootstrap.yaml")
	text := strings.NewReplacer("ADMIN", adminPort, "ADS", port).Replace(bootstrap)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(envoytest.Path(t), "-c", file, "--disable-hot-restart", "--concurrency", "1", "-l", "warn")
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // killed
		out.Close()
		if t.Failed() {
			b, _ := os.ReadFile(out.Name())
			t.Logf("Envoy's log:\n%s", b)
		}
	})
	return e
}

const bootstrap = `
node: {id: "sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local", cluster: test}
admin: {address: {socket_address: {address: 127.0.0.1, port_value: ADMIN}}}
dynamic_resources:
  ads_config:
    api_type: DELTA_GRPC
    transport_api_version: V3
    set_node_on_first_message_only: true
    grpc_services: [{envoy_grpc: {cluster_name: ads}}]
  cds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
  lds_config: {ads: {}, resource_api_version: V3, initial_fetch_timeout: 0s}
static_resources:
  clusters:
  - name: ads
    connect_timeout: 1s
    type: STATIC
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}
    load_assignment:
      cluster_name: ads
      endpoints: [{lb_endpoints: [{endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: ADS}}}}]}]
`

// get reads a page of Envoy's administration.
func (e *envoy) get(path string) string {
	resp, err := http.Get("http://" + e.admin + path)
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	return string(b)
}

// stat gives a counter or gauge, -1 where it is not there.
func (e *envoy) stat(name string) int {
	for line := range strings.Lines(e.get("/stats?filter=^" + strings.ReplaceAll(name, ".", `\.`) + "$")) {
		if value, ok := strings.CutPrefix(line, name+": "); ok {
			n, err := strconv.Atoi(strings.TrimSpace(value))
			if err == nil {
				return n
			}
		}
	}
	return -1
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(20 * time.Second)
	defer deadline.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("never: %s", what)
		}
	}
}

// backend answers with its name; it gives its port.
func backend(t *testing.T, name string) uint32 {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, name) }))
	t.Cleanup(s.Close)
	return uint32(s.Listener.Addr().(*net.TCPAddr).Port)
}

// edsCluster is a cluster whose endpoints come over ADS and never time out.
func edsCluster(name string, seconds int) push.Message {
	m := cluster(name, seconds)
	m.Body.(*clusterv3.Cluster).EdsClusterConfig = &clusterv3.Cluster_EdsClusterConfig{EdsConfig: adsSource()}
	return m
}

func adsSource() *corev3.ConfigSource {
	return &corev3.ConfigSource{
		ConfigSourceSpecifier: &corev3.ConfigSource_Ads{Ads: &corev3.AggregatedConfigSource{}},
		ResourceApiVersion:    corev3.ApiVersion_V3, InitialFetchTimeout: durationpb.New(0),
	}
}

func pack(m proto.Message) *anypb.Any {
	a, err := anypb.New(m)
	if err != nil {
		panic(err)
	}
	return a
}

// httpListener serves routes that come over ADS under the listener's name.
func httpListener(name string, port int, stat string) push.Message {
	hcm := pack(&hcmv3.HttpConnectionManager{
		StatPrefix: stat,
		RouteSpecifier: &hcmv3.HttpConnectionManager_Rds{
			Rds: &hcmv3.Rds{RouteConfigName: name, ConfigSource: adsSource()},
		},
		HttpFilters: []*hcmv3.HttpFilter{{Name: "router", ConfigType: &hcmv3.HttpFilter_TypedConfig{TypedConfig: pack(&routerv3.Router{})}}},
	})
	return push.Message{Type: push.Listeners, Name: name, Body: &listenerv3.Listener{
		Name: name, Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
			Address: "127.0.0.1", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: uint32(port)},
		}}},
		FilterChains: []*listenerv3.FilterChain{{Filters: []*listenerv3.Filter{{
			Name: "http", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: hcm},
		}}}},
	}}
}

func routeTo(name, cluster string) push.Message {
	return push.Message{Type: push.Routes, Name: name, Body: &routev3.RouteConfiguration{
		Name: name, VirtualHosts: []*routev3.VirtualHost{{Name: "all", Domains: []string{"*"}, Routes: []*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}},
			Action: &routev3.Route_Route{Route: &routev3.RouteAction{ClusterSpecifier: &routev3.RouteAction_Cluster{Cluster: cluster}}},
		}}}},
	}}
}

// traffic sends requests one after the other until its stop, and counts the failed ones.
type traffic struct {
	last   atomic.Value
	failed atomic.Int32
	total  atomic.Int32
	why    atomic.Value
	cancel context.CancelFunc
	done   sync.WaitGroup
}

func startTraffic(t *testing.T, port int) *traffic {
	ctx, cancel := context.WithCancel(context.Background())
	tr := &traffic{cancel: cancel}
	client := &http.Client{Transport: &http.Transport{}, Timeout: 5 * time.Second}
	tr.done.Go(func() {
		defer client.CloseIdleConnections()
		for ctx.Err() == nil {
			resp, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
			tr.total.Add(1)
			if err != nil {
				tr.why.Store(err.Error())
				tr.failed.Add(1)
				continue
			}
			b, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				tr.why.Store(resp.Status + " " + string(b))
				tr.failed.Add(1)
				continue
			}
			tr.last.Store(string(b))
		}
	})
	t.Cleanup(tr.stop)
	return tr
}

func (tr *traffic) stop() {
	tr.cancel()
	tr.done.Wait()
}

func (tr *traffic) from(name string) func() bool {
	return func() bool { return tr.last.Load() == name }
}
