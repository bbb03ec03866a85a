package xds

import (
	"context"
	"net"
	"strings"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// streamed opens a stream of gRPC, which lives as long as ctx, to a server that serves what set makes its state.
func streamed(ctx context.Context, t *testing.T, opts Options) (stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient, server *Server, set func(xdstest.Message)) {
	t.Helper()
	engine := push.New(push.Options{})
	opts.Source, opts.Logger = engine, discard
	server = New(opts)
	set = func(m xdstest.Message) {
		if err := engine.Apply(ctx, push.Commit{Translator: xdstest.Table{m}}); err != nil {
			t.Fatal(err)
		}
	}
	set(cluster("a", 1))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.ForceServerCodecV2(Codec()))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, server.Service(nil))
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	t.Cleanup(func() {
		g.Stop()
		server.Wait()
		<-done
	})
	conn, err := grpc.NewClient(l.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	stream, err = discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return stream, server, set
}

// The goroutine that ends a stream waits for its requests: the end has to free it.
func TestAClientThatSaysNothingIsToldWhyItsStreamEnds(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, _, _ := streamed(ctx, t, Options{FirstRequestTimeout: 20 * time.Millisecond})
	if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded || status.Convert(err).Message() != "no request came" {
		t.Errorf("the stream ended with %v", err)
	}
}

// A client that does not read holds neither the goroutine that receives nor the one that sends.
func TestAClientThatDoesNotReadIsEnded(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	stream, server, set := streamed(ctx, t, Options{AckTimeout: 200 * time.Millisecond})
	say := func(r *discoveryv3.DeltaDiscoveryRequest) {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	say(&discoveryv3.DeltaDiscoveryRequest{Node: testNode, TypeUrl: resource.Listeners.URL()})
	r, err := stream.Recv()
	if err != nil {
		t.Fatal(err)
	}
	say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.Listeners.URL(), ResponseNonce: r.GetNonce()})
	say(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: resource.Clusters.URL()})
	large, changes := strings.Repeat("x", 1<<17), 0 // more than a window, so that the second has to wait
	waitFor(ctx, t, "its end", func() bool {
		changes++
		set(cluster(large, changes))
		return len(server.Connections()) == 0
	})
	ended := make(chan struct{})
	go func() {
		server.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		t.Error("a goroutine of the stream goes on")
	}
}

func waitFor(ctx context.Context, t *testing.T, what string, done func() bool) {
	t.Helper()
	for !done() {
		select {
		case <-ctx.Done():
			t.Fatalf("there was not %s: %v", what, ctx.Err())
		case <-time.After(time.Millisecond):
		}
	}
}
