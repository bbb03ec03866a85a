package random

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// script is a discovery server that says what a test tells it to, to one Envoy.
type script struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	socket  string
	streams chan *scriptedStream
}

// scriptedStream is one of its streams, of either protocol.
type scriptedStream struct {
	said chan *request
	tell func(*response) error
	end  chan struct{} // closed to break the stream
}

func serveScript(t *testing.T) *script {
	t.Helper()
	dir, err := os.MkdirTemp("", "script") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	s := &script{socket: filepath.Join(dir, "ads.sock"), streams: make(chan *scriptedStream, 64)}
	envoytest.ServeUnix(t, s.socket, func(srv *grpc.Server) {
		discoveryv3.RegisterAggregatedDiscoveryServiceServer(srv, s)
	})
	return s
}

// serve hands a stream to the test and reads its requests until one of both ends it.
func (s *script) serve(tell func(*response) error, hear func() (*request, error)) error {
	on := &scriptedStream{said: make(chan *request, 4096), tell: tell, end: make(chan struct{})}
	s.streams <- on
	go func() { // ends with the stream, which ends when serve returns
		defer close(on.said)
		for {
			r, err := hear()
			if err != nil {
				return
			}
			on.said <- r
		}
	}()
	<-on.end
	return nil
}

func (s *script) DeltaAggregatedResources(st discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.serve(func(r *response) error {
		out := &discoveryv3.DeltaDiscoveryResponse{
			TypeUrl: r.typ.URL(), Nonce: r.nonce, SystemVersionInfo: r.version, RemovedResources: r.removed,
		}
		for _, res := range r.resources {
			body, err := staged(r, res)
			if err != nil {
				return err
			}
			out.Resources = append(out.Resources, &discoveryv3.Resource{Name: res.name, Version: res.version, Resource: body})
		}
		return st.Send(out)
	}, func() (*request, error) {
		m, err := st.Recv()
		if err != nil {
			return nil, err
		}
		t, _ := xdsres.ByURL(m.GetTypeUrl())
		return &request{
			typ: t, nonce: m.GetResponseNonce(), detail: m.GetErrorDetail().GetMessage(), initial: m.GetInitialResourceVersions(),
			subscribe: slices.Sorted(slices.Values(m.GetResourceNamesSubscribe())), unsubscribe: slices.Sorted(slices.Values(m.GetResourceNamesUnsubscribe())),
		}, nil
	})
}

func (s *script) StreamAggregatedResources(st discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return s.serve(func(r *response) error {
		out := &discoveryv3.DiscoveryResponse{TypeUrl: r.typ.URL(), Nonce: r.nonce, VersionInfo: r.version}
		for _, res := range r.resources {
			body, err := staged(r, res)
			if err != nil {
				return err
			}
			out.Resources = append(out.Resources, body)
		}
		return st.Send(out)
	}, func() (*request, error) {
		m, err := st.Recv()
		if err != nil {
			return nil, err
		}
		t, _ := xdsres.ByURL(m.GetTypeUrl())
		return &request{
			typ: t, nonce: m.GetResponseNonce(), detail: m.GetErrorDetail().GetMessage(), version: m.GetVersionInfo(),
			names: slices.Sorted(slices.Values(m.GetResourceNames())),
		}, nil
	})
}

// next gives the Envoy's next stream, or nil where it opens none.
func (s *script) next() *scriptedStream {
	select {
	case on := <-s.streams:
		return on
	case <-time.After(patience):
		return nil
	}
}

// hear gives the next request, or nil where none comes.
func (s *scriptedStream) hear() *request {
	select {
	case r := <-s.said:
		return r
	case <-time.After(patience):
		return nil
	}
}

// finish breaks the stream and gives a request that nobody waited for.
func (s *scriptedStream) finish() *request {
	defer close(s.end)
	select {
	case r := <-s.said:
		return r
	case <-time.After(20 * time.Millisecond):
		return nil
	}
}

func (s *scriptedStream) send(r *response) error { return s.tell(r) }

// staged gives a resource as an Envoy without secrets can use it, since when those come is a matter
// of another stream. It stays distinct from all others, and is broken where the client refused it.
func staged(r *response, res *resource) (*anypb.Any, error) {
	m := r.typ.New()
	if err := proto.Unmarshal([]byte(res.wire), m); err != nil {
		return nil, err
	}
	bad := r.refused[res.name] != ""
	mark := &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{"test": {Fields: map[string]*structpb.Value{
		"hash": structpb.NewStringValue(res.hash),
	}}}}
	switch m := m.(type) {
	case *clusterv3.Cluster:
		m.TransportSocket, m.TransportSocketMatches, m.Metadata = nil, nil, mark
		if bad {
			unknown, err := anypb.New(&emptypb.Empty{})
			if err != nil {
				return nil, err
			}
			m.TypedExtensionProtocolOptions = map[string]*anypb.Any{"no.such.protocol": unknown}
		}
	case *endpointv3.ClusterLoadAssignment:
		if bad {
			m.Endpoints = append(m.Endpoints, malformedEndpoint())
		}
	case *listenerv3.Listener:
		for _, chain := range append(slices.Clone(m.FilterChains), m.DefaultFilterChain) {
			if chain != nil {
				chain.TransportSocket = nil
			}
		}
		m.Metadata = mark
		if bad {
			m.ListenerFilters = append(m.ListenerFilters, &listenerv3.ListenerFilter{Name: "no.such.filter"})
		}
	case *routev3.RouteConfiguration:
		if bad {
			m.VirtualHosts = append(m.VirtualHosts, malformedHost())
		}
	}
	return anypb.New(m)
}

func malformedEndpoint() *endpointv3.LocalityLbEndpoints {
	return &endpointv3.LocalityLbEndpoints{LbEndpoints: []*endpointv3.LbEndpoint{{
		HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{
			Address: &corev3.Address{Address: &corev3.Address_SocketAddress{SocketAddress: &corev3.SocketAddress{
				Address: "no address", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 1},
			}}},
		}},
	}}}
}

func malformedHost() *routev3.VirtualHost {
	return &routev3.VirtualHost{Name: "malformed", Domains: []string{"malformed"}, Routes: []*routev3.Route{{
		Match: &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "("}}},
	}}}
}
