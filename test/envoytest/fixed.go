package envoytest

import (
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// typeURLs are the resource types by the names that cases use.
var typeURLs = map[string]string{
	"type.googleapis.com/envoy.config.cluster.v3.Cluster":                  "clusters",
	"type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment":   "endpoints",
	"type.googleapis.com/envoy.config.listener.v3.Listener":                "listeners",
	"type.googleapis.com/envoy.config.route.v3.RouteConfiguration":         "routes",
	"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret": "secrets",
}

// Resources are messages by type (clusters, endpoints, listeners, routes) and name.
type Resources map[string]map[string]proto.Message

// Fixed serves the same resources for ever: state of the world without changes. It shares no code with
// the product's server, so that a test tells the two apart.
type Fixed struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	secret.UnimplementedSecretDiscoveryServiceServer
	// Socket is where an Envoy connects.
	Socket string
	// Rejected gets the first reason for which the Envoy refused something.
	Rejected chan string

	resources Resources
	secrets   *Secrets
	mu        sync.Mutex
	unknown   map[string]struct{}
}

// ServeFixed serves resources and secrets until the test ends.
func ServeFixed(t testing.TB, r Resources, secrets *Secrets) *Fixed {
	t.Helper()
	dir, err := os.MkdirTemp("", "fixed") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	s := &Fixed{
		Socket: filepath.Join(dir, "xds.sock"), Rejected: make(chan string, 1),
		resources: r, secrets: secrets, unknown: map[string]struct{}{},
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ServeUnix(t, s.Socket, func(srv *grpc.Server) {
		discovery.RegisterAggregatedDiscoveryServiceServer(srv, s)
		secret.RegisterSecretDiscoveryServiceServer(srv, s)
	})
	return s
}

// Unknown lists what was asked for and is not there.
func (s *Fixed) Unknown() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.unknown))
}

// stream is what both services have in common.
type stream interface {
	Recv() (*discovery.DiscoveryRequest, error)
	Send(*discovery.DiscoveryResponse) error
}

// StreamAggregatedResources implements ADS.
func (s *Fixed) StreamAggregatedResources(st discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return s.stream(st, s.secrets.OfControlPlane)
}

// StreamSecrets implements SDS.
func (s *Fixed) StreamSecrets(st secret.SecretDiscoveryService_StreamSecretsServer) error {
	return s.stream(st, func(name string) proto.Message { return s.secrets.Named(name) })
}

// stream answers every request that asks for something new; secret gives what has a name, nil for nothing.
func (s *Fixed) stream(st stream, secret func(name string) proto.Message) error {
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
			case s.Rejected <- typeURLs[req.GetTypeUrl()] + ": " + d.GetMessage():
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
		resources, err := s.answer(typeURLs[req.GetTypeUrl()], names, secret)
		if err != nil {
			return err
		}
		res := &discovery.DiscoveryResponse{TypeUrl: req.GetTypeUrl(), VersionInfo: "1", Nonce: "1", Resources: resources}
		if err := st.Send(res); err != nil {
			return err
		}
	}
}

// answer gives all clusters and listeners, and of the other types what is named.
func (s *Fixed) answer(kind string, names []string, secret func(string) proto.Message) ([]*anypb.Any, error) {
	var messages []proto.Message
	switch kind {
	case "secrets":
		for _, name := range names {
			if m := secret(name); m != nil {
				messages = append(messages, m)
			} else {
				s.miss(kind + " " + name)
			}
		}
	case "clusters", "listeners":
		for _, name := range slices.Sorted(maps.Keys(s.resources[kind])) {
			messages = append(messages, s.resources[kind][name])
		}
	default:
		for _, name := range names {
			if m := s.resources[kind][name]; m != nil {
				messages = append(messages, m)
			} else {
				s.miss(kind + " " + name)
			}
		}
	}
	out := make([]*anypb.Any, 0, len(messages))
	for _, m := range messages {
		packed, err := anypb.New(m)
		if err != nil {
			return nil, err
		}
		out = append(out, packed)
	}
	return out, nil
}

func (s *Fixed) miss(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.unknown[what] = struct{}{}
}
