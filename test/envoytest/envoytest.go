// Package envoytest gives tests a real Envoy, the least control plane that one needs to start, and
// a Gate to stand between an Envoy and a control plane and meddle with what they say.
package envoytest

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
)

// Path is the Envoy to test with: $ENVOY, else .tools/envoy of the checkout. A test that needs one
// fails where there is none.
func Path(t testing.TB) string {
	t.Helper()
	if p := os.Getenv("ENVOY"); p != "" {
		return p
	}
	return Tool(t, "envoy")
}

// Tool is a program in .tools of the checkout. A test that needs one fails where there is none.
func Tool(t testing.TB, name string) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		p := filepath.Join(dir, ".tools", name)
		if _, err := os.Stat(p); err == nil {
			return p
		}
		if dir == filepath.Dir(dir) {
			t.Fatalf("there is no .tools/%s (make tools)", name)
		}
	}
}

// ADS is a control plane with nothing in it: each first request is answered by an empty response.
type ADS struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	// Nodes takes the node of each stream, when it is not nil.
	Nodes chan<- *discovery.DeltaDiscoveryRequest
}

// ServeADS serves ADS at a Unix socket until the test ends.
func ServeADS(t testing.TB, socket string, ads *ADS) {
	t.Helper()
	ServeUnix(t, socket, func(srv *grpc.Server) {
		discovery.RegisterAggregatedDiscoveryServiceServer(srv, ads)
	})
}

// DeltaAggregatedResources implements the delta variant of ADS.
func (a *ADS) DeltaAggregatedResources(s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	first := true
	for {
		req, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if first && a.Nodes != nil {
			a.Nodes <- req
		}
		first = false
		if req.GetResponseNonce() != "" {
			continue
		}
		res := &discovery.DeltaDiscoveryResponse{TypeUrl: req.GetTypeUrl(), Nonce: "1", SystemVersionInfo: "1"}
		if err := s.Send(res); err != nil {
			return err
		}
	}
}
