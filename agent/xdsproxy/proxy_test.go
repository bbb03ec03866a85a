package xdsproxy

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/proto/nds"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type (
	deltaServer = discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	fullServer  = discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer
)

// control is a control plane whose streams the test plays.
type control struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	delta func(deltaServer) error
	full  func(fullServer) error
	tls   *tls.Config // nil for plaintext
}

func (c *control) DeltaAggregatedResources(s deltaServer) error { return c.delta(s) }
func (c *control) StreamAggregatedResources(s fullServer) error { return c.full(s) }

// onEach gives a stream that does something with each request, until the client or an error ends it.
func onEach(do func(deltaServer, *discovery.DeltaDiscoveryRequest) error) func(deltaServer) error {
	return func(s deltaServer) error {
		for {
			req, err := s.Recv()
			if err != nil {
				return nil
			}
			if err := do(s, req); err != nil {
				return err
			}
		}
	}
}

// telling gives a stream that tells of each request.
func telling(seen chan<- string, what func(*discovery.DeltaDiscoveryRequest) string) func(deltaServer) error {
	return onEach(func(_ deltaServer, req *discovery.DeltaDiscoveryRequest) error {
		seen <- what(req)
		return nil
	})
}

// start runs a control plane and a proxy before it, and gives Envoy's client.
func start(t *testing.T, c *control, edit func(*Config)) discovery.AggregatedDiscoveryServiceClient {
	t.Helper()
	_, client := startProxy(t, c, edit)
	return client
}

func startProxy(t *testing.T, c *control, edit func(*Config)) (*Proxy, discovery.AggregatedDiscoveryServiceClient) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	opts := []grpc.ServerOption{grpc.WaitForHandlers(true)}
	if c.tls != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(c.tls)))
	}
	srv := grpc.NewServer(opts...)
	discovery.RegisterAggregatedDiscoveryServiceServer(srv, c)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()

	cfg := Config{
		SocketPath: filepath.Join(t.TempDir(), "XDS"), Address: l.Addr().String(), ClusterID: "Kubernetes",
		Logger: slog.New(slog.DiscardHandler),
	}
	if edit != nil {
		edit(&cfg)
	}
	p := New(cfg)
	return p, run(t, p, func() { srv.Stop(); <-served })
}

// run runs a proxy, and gives its client; stop ends the control plane.
func run(t *testing.T, p *Proxy, stop func()) discovery.AggregatedDiscoveryServiceClient {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	go func() { ran <- p.Run(ctx) }()
	conn, err := grpc.NewClient("unix:"+p.cfg.SocketPath, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		_ = conn.Close()
		stop()
	})
	return discovery.NewAggregatedDiscoveryServiceClient(conn)
}

const clusterType = googleapis + "envoy.config.cluster.v3.Cluster"

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

const nameTableType = googleapis + "istio.networking.nds.v1.NameTable"

func takeTables(tables chan<- *nds.NameTable) Own {
	return Own{TypeURL: nameTableType, Take: func(value []byte) error {
		t := &nds.NameTable{}
		if err := proto.Unmarshal(value, t); err != nil {
			return err
		}
		tables <- t
		return nil
	}}
}

// The proxy asks for the name table after Envoy's listeners, keeps it, acknowledges it, and passes
// on nothing but Envoy's own types.
func TestDeltaWithNameTable(t *testing.T) {
	seen := make(chan string, 10)
	tables := make(chan *nds.NameTable, 1)
	table := &nds.NameTable{Table: map[string]*nds.NameTable_NameInfo{"a.b": {Ips: []string{"10.0.0.1"}}}}
	client := start(t, &control{delta: func(s deltaServer) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		seen <- strings.Join(md.Get("clusterid"), ",")
		return onEach(func(s deltaServer, req *discovery.DeltaDiscoveryRequest) error {
			seen <- strings.TrimPrefix(req.GetTypeUrl(), googleapis) + " " + req.GetResponseNonce()
			if req.GetTypeUrl() != nameTableType || req.GetResponseNonce() != "" {
				return nil
			}
			for _, resp := range []*discovery.DeltaDiscoveryResponse{
				{TypeUrl: nameTableType, Nonce: "n1", Resources: []*discovery.Resource{{Name: "nametable", Resource: pack(t, table)}}},
				{TypeUrl: googleapis + "istio.mesh.v1alpha1.ProxyConfig", Nonce: "x"},
				{TypeUrl: clusterType, Nonce: "c1", Resources: []*discovery.Resource{{Name: strings.Repeat("x", 1<<20), Version: "1"}}},
			} {
				if err := s.Send(resp); err != nil {
					return err
				}
			}
			return nil
		})(s)
	}}, func(c *Config) {
		c.Own = []Own{takeTables(tables)}
	})
	stream, err := client.DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, typeURL := range []string{clusterType, listenerType} {
		if err := stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURL}); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := stream.Recv()
	if err != nil || resp.GetTypeUrl() != clusterType || len(resp.GetResources()[0].GetName()) != 1<<20 {
		t.Fatalf("Envoy got %.200v, %v", resp, err)
	}
	if got := <-tables; !proto.Equal(got, table) {
		t.Errorf("table %v", got)
	}
	for _, want := range []string{
		"Kubernetes", "envoy.config.cluster.v3.Cluster ", "envoy.config.listener.v3.Listener ",
		"istio.networking.nds.v1.NameTable ", "istio.networking.nds.v1.NameTable n1",
	} {
		if got := <-seen; got != want {
			t.Errorf("control plane saw %q, want %q", got, want)
		}
	}
}

func TestStateOfTheWorldWithNameTable(t *testing.T) {
	acked := make(chan string, 1)
	tables := make(chan *nds.NameTable, 1)
	client := start(t, &control{full: func(s fullServer) error {
		for {
			req, err := s.Recv()
			if err != nil {
				return nil
			}
			if req.GetTypeUrl() != nameTableType {
				continue
			}
			if req.GetResponseNonce() != "" {
				acked <- req.GetVersionInfo() + " " + req.GetResponseNonce()
				continue
			}
			if err := s.Send(&discovery.DiscoveryResponse{
				TypeUrl: nameTableType, Nonce: "n1", VersionInfo: "v1", Resources: []*anypb.Any{pack(t, &nds.NameTable{})},
			}); err != nil {
				return err
			}
		}
	}}, func(c *Config) { c.Own = []Own{takeTables(tables)} })
	stream, err := client.StreamAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Send(&discovery.DiscoveryRequest{TypeUrl: listenerType}); err != nil {
		t.Fatal(err)
	}
	<-tables
	if got := <-acked; got != "v1 n1" {
		t.Errorf("acknowledged %q", got)
	}
}

func TestOrderIsKept(t *testing.T) {
	const n = 500
	order := make(chan string, n)
	client := start(t, &control{delta: telling(order, (*discovery.DeltaDiscoveryRequest).GetResponseNonce)}, nil)
	stream, err := client.DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		if err := stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: clusterType, ResponseNonce: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if got := <-order; got != fmt.Sprint(i) {
			t.Fatalf("request %s in place %d", got, i)
		}
	}
}

// Whatever ends upstream ends Envoy's stream, with the reason, so that Envoy comes back.
func TestUpstreamErrorEndsStream(t *testing.T) {
	for name, end := range map[string]error{
		"error": status.Error(codes.PermissionDenied, "namespace of the node is not yours"), "clean end": nil,
	} {
		client := start(t, &control{delta: func(s deltaServer) error {
			if _, err := s.Recv(); err != nil {
				return err
			}
			return end
		}}, nil)
		stream, err := client.DeltaAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: clusterType}); err != nil {
			t.Fatal(err)
		}
		_, err = stream.Recv()
		if want := status.Code(end); end != nil && status.Code(err) != want || end == nil && status.Code(err) != codes.Unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestControlPlaneNotReached(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	client := start(t, &control{}, func(c *Config) { c.Address = closed })
	stream, err := client.DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("err = %v", err)
	}
}

func TestNewerStreamClosesOlder(t *testing.T) {
	opened := make(chan struct{}, 2)
	client := start(t, &control{delta: func(s deltaServer) error {
		opened <- struct{}{}
		<-s.Context().Done()
		return nil
	}}, nil)
	older, err := client.DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	<-opened
	if _, err := client.DeltaAggregatedResources(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-opened
	if _, err := older.Recv(); status.Code(err) != codes.Aborted {
		t.Errorf("older stream: %v", err)
	}
}

// A token is not for the open network.
func TestTokenOnlyOverTLS(t *testing.T) {
	p := New(Config{Token: func() (string, error) { return "the-token", nil }})
	if md, err := p.metadata(); err != nil || len(md) > 0 {
		t.Error(md, err)
	}
}

func FuzzPeek(f *testing.F) {
	req, err := proto.Marshal(&discovery.DeltaDiscoveryRequest{
		TypeUrl: clusterType, ResponseNonce: "n", ResourceNamesSubscribe: []string{"a", "b"},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(req, uint8(3))
	f.Add([]byte{0x12, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01}, uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, cut uint8) {
		i := min(int(cut), len(data))
		got, err := peekString(mem.BufferSlice{mem.SliceBuffer(data[:i]), mem.SliceBuffer(data[i:])}, deltaRequestType)
		var m discovery.DeltaDiscoveryRequest
		if proto.Unmarshal(data, &m) != nil || err != nil {
			return // what protobuf refuses may end either way
		}
		if got != m.GetTypeUrl() {
			t.Errorf("peeked %q, message has %q", got, m.GetTypeUrl())
		}
	})
}
