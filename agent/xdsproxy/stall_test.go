package xdsproxy

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

const (
	messageBytes = 1 << 20
	// stalledBytes is what may be under way in both directions of both connections when one side
	// reads nothing: windows of HTTP/2, socket buffers, and a message in each hand.
	stalledBytes = 32 << 20
	// plentyBytes is what the other side tries to send.
	plentyBytes = 256 << 20
)

// settled waits until a count of bytes no longer grows, and gives it.
func settled(t *testing.T, sent *atomic.Int64) int64 {
	t.Helper()
	const quiet = 300 * time.Millisecond
	tick := time.NewTicker(quiet)
	defer tick.Stop()
	for last := int64(-1); ; {
		<-tick.C
		now := sent.Load()
		if now == last && now > 0 {
			return now
		}
		last = now
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// An Envoy that reads nothing stops the control plane; nothing is piled up in between.
func TestStalledEnvoyHoldsTheControlPlane(t *testing.T) {
	var sent atomic.Int64
	resp := &discovery.DeltaDiscoveryResponse{TypeUrl: clusterType, Resources: []*discovery.Resource{{Name: strings.Repeat("x", messageBytes)}}}
	client := start(t, &control{delta: func(s deltaServer) error {
		for sent.Load() < plentyBytes {
			if err := s.Send(resp); err != nil {
				return nil
			}
			sent.Add(messageBytes)
		}
		return nil
	}}, nil)
	before := heap()
	stream, err := client.DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := settled(t, &sent); n > stalledBytes {
		t.Errorf("%d MiB were taken for an Envoy that reads nothing", n>>20)
	}
	if after := heap(); after > before+stalledBytes {
		t.Errorf("the heap grew by %d MiB", (after-before)>>20)
	}
	// Once Envoy reads, all goes on.
	for got := 0; got < plentyBytes/messageBytes; got++ {
		if _, err := stream.Recv(); err != nil {
			t.Fatalf("message %d: %v", got, err)
		}
	}
}

// A control plane that reads nothing stops Envoy's requests, while its responses go on.
func TestStalledControlPlaneHoldsEnvoy(t *testing.T) {
	respond := make(chan struct{})
	client := start(t, &control{delta: func(s deltaServer) error {
		<-respond
		if err := s.Send(&discovery.DeltaDiscoveryResponse{TypeUrl: clusterType, Nonce: "n"}); err != nil {
			return err
		}
		<-s.Context().Done()
		return nil
	}}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	stream, err := client.DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	before := heap()
	var sent atomic.Int64
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		req := &discovery.DeltaDiscoveryRequest{TypeUrl: clusterType, ResourceNamesSubscribe: []string{strings.Repeat("x", messageBytes)}}
		for sent.Load() < plentyBytes && stream.Send(req) == nil {
			sent.Add(messageBytes)
		}
	}()
	defer func() { cancel(); <-ended }()
	if n := settled(t, &sent); n > stalledBytes {
		t.Errorf("%d MiB of requests were taken for a control plane that reads nothing", n>>20)
	}
	if after := heap(); after > before+stalledBytes {
		t.Errorf("the heap grew by %d MiB", (after-before)>>20)
	}
	close(respond)
	if resp, err := stream.Recv(); err != nil || resp.GetNonce() != "n" {
		t.Errorf("a response during the stall: %v, %v", resp, err)
	}
}
