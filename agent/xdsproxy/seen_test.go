package xdsproxy

import (
	"crypto/tls"
	"crypto/x509"
	"net/http/httptest"
	"testing"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/metadata"

	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

// provenByTLS gives what a server and its clients need.
func provenByTLS(t *testing.T) (server *tls.Config, client func() (*tls.Config, error)) {
	t.Helper()
	s := httptest.NewTLSServer(nil)
	defer s.Close()
	roots := x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return &tls.Config{Certificates: s.TLS.Certificates, NextProtos: []string{"h2"}}, func() (*tls.Config, error) {
		return &tls.Config{RootCAs: roots, ServerName: "example.com", NextProtos: []string{"h2"}}, nil
	}
}

// streams opens one stream after the other, each of which gets responses of the identifiers, and gives what each
// told of what was seen before.
func streams(t *testing.T, c *control, edit func(*Config), identifiers [][]string) (told [][]string) {
	t.Helper()
	next := 0
	c.delta = func(s deltaServer) error {
		md, _ := metadata.FromIncomingContext(s.Context())
		told = append(told, md.Get(seen.Header))
		for _, id := range identifiers[next] {
			resp := &discovery.DeltaDiscoveryResponse{TypeUrl: clusterType, Nonce: "1"}
			if id != "" {
				resp.ControlPlane = &core.ControlPlane{Identifier: id}
			}
			if err := s.Send(resp); err != nil {
				return err
			}
		}
		next++
		return nil
	}
	client := start(t, c, edit)
	for range identifiers {
		s, err := client.DeltaAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for err == nil { // until the control plane ends it
			_, err = s.Recv()
		}
	}
	return told
}

// What a control plane says that it has seen is told to the next. The first response of a stream tells all; what
// other control planes say of themselves is passed over.
func TestTheNextControlPlaneIsToldWhatTheLastHadSeen(t *testing.T) {
	server, client := provenByTLS(t)
	told := streams(t, &control{tls: server}, func(cfg *Config) { cfg.TLS = client }, [][]string{
		{"pods=5,services=7", "", "pods=9"}, {`{"Component":"istiod"}`, ""}, {"pods=3"}, {"services=8", "pods=4"}, {},
	})
	for i, want := range []string{"", "pods=9,services=7", "pods=9,services=7", "pods=3", "pods=4,services=8"} {
		if len(told[i]) != 1 || told[i][0] != want {
			t.Errorf("stream %d tells %q, wanted %q", i, told[i], want)
		}
	}
}

// One that has not proven who it is could only slow the proxy down by it, and is told nothing.
func TestNothingIsBelievedOfAControlPlaneWithoutProof(t *testing.T) {
	told := streams(t, &control{}, nil, [][]string{{"pods=5"}, {}})
	for i := range told {
		if len(told[i]) > 0 {
			t.Errorf("stream %d tells %q", i, told[i])
		}
	}
}
