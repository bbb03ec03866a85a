package discovery

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/net/http2"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// recorded is a connection that keeps what was read from it.
type recorded struct {
	net.Conn
	mu   sync.Mutex
	read bytes.Buffer
}

func (r *recorded) Read(b []byte) (int, error) {
	n, err := r.Conn.Read(b)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.read.Write(b[:n])
	return n, err
}

// pings counts those of the other side among the frames that were read as a whole.
func (r *recorded) pings() (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	framer := http2.NewFramer(nil, bytes.NewReader(r.read.Bytes()))
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return n
		}
		if ping, ok := frame.(*http2.PingFrame); ok && !ping.IsAck() {
			n++
		}
	}
}

// A ping for each request and acknowledgement would cost a proxy's connection as much again as the push itself.
func TestRequestsAreNotAnsweredByPings(t *testing.T) {
	p := running(t, nil)
	var read *recorded
	dial := func(ctx context.Context, addr string) (net.Conn, error) {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
		read = &recorded{Conn: conn}
		return read, err
	}
	conn, err := grpc.NewClient("passthrough:///"+p.cfg.GRPCAddr, grpc.WithContextDialer(dial), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	node := &corev3.Node{Id: "sidecar~10.0.0.1~a.ns~ns.svc.cluster.local"}
	for range 3 {
		err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{
			Node: node, TypeUrl: xdsres.Endpoints.URL(), ResourceNamesSubscribe: []string{"outbound|80||nobody.ns.svc.cluster.local"},
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}); err != nil {
			t.Fatal(err)
		}
	}
	if n := read.pings(); n > 0 {
		t.Errorf("the control plane sent %d pings", n)
	}
}
