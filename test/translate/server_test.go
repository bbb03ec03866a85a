package translate

import (
	"errors"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// typeURLs are the resource types by the names that cases use.
var typeURLs = map[string]string{
	"type.googleapis.com/envoy.config.cluster.v3.Cluster":                  "clusters",
	"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment":   "endpoints",
	"type.googleapis.com/envoy.config.listener.v3.Listener":                "listeners",
	"type.googleapis.com/envoy.config.route.v3.RouteConfiguration":         "routes",
	"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret": "secrets",
}

// server serves what one proxy gets, once: state of the world without changes. It shares no
// code with the product's server, so that a test tells the two apart.
type server struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	secret.UnimplementedSecretDiscoveryServiceServer
	resources Resources
	secrets   *envoytest.Secrets
	rejected  chan string

	mu      sync.Mutex
	unknown map[string]struct{}
}

func newServer(r Resources, s *envoytest.Secrets) *server {
	return &server{resources: r, secrets: s, rejected: make(chan string, 1), unknown: map[string]struct{}{}}
}

func (s *server) serve(t *testing.T, socket string) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(srv, s)
	secret.RegisterSecretDiscoveryServiceServer(srv, s)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Stop()
		<-done
	})
}

// unknownNames lists what was asked for and is not there.
func (s *server) unknownNames() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.unknown))
}

// stream is what both services have in common.
type stream interface {
	Recv() (*discovery.DiscoveryRequest, error)
	Send(*discovery.DiscoveryResponse) error
}

func (s *server) StreamAggregatedResources(st discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return s.stream(st)
}

func (s *server) StreamSecrets(st secret.SecretDiscoveryService_StreamSecretsServer) error {
	return s.stream(st)
}

// stream answers every request that asks for something new.
func (s *server) stream(st stream) error {
	sent := map[string]string{} // by type, the names that were asked for last
	for {
		req, err := st.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if d := req.GetErrorDetail(); d != nil {
			select {
			case s.rejected <- typeURLs[req.GetTypeUrl()] + ": " + d.GetMessage():
			default:
			}
			continue
		}
		names := slices.Sorted(slices.Values(req.GetResourceNames()))
		key := strings.Join(names, "\n")
		if former, ok := sent[req.GetTypeUrl()]; ok && former == key {
			continue
		}
		sent[req.GetTypeUrl()] = key
		res := &discovery.DiscoveryResponse{
			TypeUrl: req.GetTypeUrl(), VersionInfo: "1", Nonce: "1", Resources: s.answer(typeURLs[req.GetTypeUrl()], names),
		}
		if err := st.Send(res); err != nil {
			return err
		}
	}
}

// answer gives all clusters and listeners, and of the other types what is named.
func (s *server) answer(kind string, names []string) []*anypb.Any {
	var out []*anypb.Any
	if kind == "secrets" {
		for _, name := range names {
			out = append(out, envoy.Any(s.secrets.Named(name)))
		}
		return out
	}
	found := map[string]bool{}
	for _, r := range s.resources.ByType[kind] {
		if kind == "clusters" || kind == "listeners" || slices.Contains(names, r.Name) {
			out = append(out, envoy.Any(r.Body))
			found[r.Name] = true
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		if !found[name] && name != "*" {
			s.unknown[kind+" "+name] = struct{}{}
		}
	}
	return out
}
