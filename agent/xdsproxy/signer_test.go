package xdsproxy

import (
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/pilothouse-mesh/pilothouse/proto/signer"
)

// TestTheRootOfTheCertificateIsTold tells it once there is one, whenever it is another one, and on the next stream.
func TestTheRootOfTheCertificateIsTold(t *testing.T) {
	seen := make(chan string, 20)
	p, client := startProxy(t, &control{delta: telling(seen, func(req *discovery.DeltaDiscoveryRequest) string {
		if req.GetTypeUrl() != signer.Type {
			return req.GetTypeUrl()
		}
		return "root " + req.GetErrorDetail().GetMessage()
	})}, nil)
	want := func(texts ...string) {
		t.Helper()
		for _, text := range texts {
			if got := <-seen; got != text {
				t.Errorf("control plane saw %q, want %q", got, text)
			}
		}
	}
	open := func() func(typeURL string) {
		t.Helper()
		stream, err := client.DeltaAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return func(typeURL string) {
			t.Helper()
			if err := stream.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: typeURL}); err != nil {
				t.Fatal(err)
			}
			want(typeURL)
		}
	}
	p.SetSigner("")
	ask := open()
	ask(listenerType)
	ask(clusterType)
	p.SetSigner("a")
	want("root a")
	p.SetSigner("a")
	ask(clusterType)
	p.SetSigner("b")
	want("root b")
	p.SetSigner("")
	want("root ")
	p.SetSigner("c")
	want("root c")
	open()(listenerType)
	want("root c")
}
