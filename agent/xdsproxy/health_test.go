package xdsproxy

import (
	"errors"
	"strings"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

// TestHealthIsTold tells the health before there is a stream, while there is one, and on the next one. None comes
// before Envoy's first request for listeners, which is when the control plane knows the node.
func TestHealthIsTold(t *testing.T) {
	seen := make(chan string, 20)
	p, client := startProxy(t, &control{delta: telling(seen, func(req *discovery.DeltaDiscoveryRequest) string {
		switch {
		case req.GetTypeUrl() != healthType:
			return req.GetTypeUrl()
		case req.GetErrorDetail() == nil:
			return "well"
		}
		return req.GetErrorDetail().GetMessage()
	})}, nil)
	want := func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			if got := <-seen; got != text {
				t.Errorf("control plane saw %q, want %q", got, text)
			}
		}
	}
	open := func() {
		t.Helper()
		stream, err := client.DeltaAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, typeURL := range []string{clusterType, listenerType} {
			if err := stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURL}); err != nil {
				t.Fatal(err)
			}
		}
	}
	p.SetHealth(errors.New("it answers 500"))
	open()
	want(clusterType, listenerType, "it answers 500")
	p.SetHealth(nil)
	want("well")
	open()
	want(clusterType, listenerType, "well")
	p.SetHealth(errors.New("gone"))
	want("gone")
	p.SetHealth(errors.New("\xff" + strings.Repeat("é", 10000))) // a command printed it
	want("�" + strings.Repeat("é", 511) + "�")
	p.SetHealth(nil)
	want("well")
}

// TestWhatCannotBeSentEndsNoStream puts a message that is none among the agent's own.
func TestWhatCannotBeSentEndsNoStream(t *testing.T) {
	seen := make(chan string, 20)
	p, client := startProxy(t, &control{delta: telling(seen, (*discovery.DeltaDiscoveryRequest).GetTypeUrl)}, nil)
	stream, err := client.DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p.SetHealth(nil)
	for _, typeURL := range []string{listenerType, clusterType} {
		if err := stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURL}); err != nil {
			t.Fatal(err)
		}
		for got := ""; got != typeURL; got = <-seen {
			if got == healthType {
				p.mu.Lock()
				p.listening.own.put("bad", &node.DeltaDiscoveryRequest{TypeUrl: "\xff"})
				p.mu.Unlock()
			}
		}
	}
	p.SetHealth(errors.New("ill"))
	for <-seen != healthType {
	}
}
