package soak

import (
	"context"
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
)

// request is one of either protocol. The names that a client adds and gives up are of delta, all that it wants of the
// state of the world.
type request struct {
	url, nonce, version string
	refusal             string // "" where it refuses nothing
	added, gone, all    []string
	has                 map[string]string // versions, by name, of a former stream
}

// response is one of either protocol.
type response struct {
	url, nonce, version string
	resources           []resource
	removed             []string
}

type resource struct {
	name, version string
	body          *anypb.Any
}

// wire is a stream of either protocol.
type wire struct {
	send func(request) error
	recv func() (response, error)
}

func (r *request) detail() *status.Status {
	if r.refusal == "" {
		return nil
	}
	return &status.Status{Code: 3, Message: r.refusal}
}

func openDelta(ctx context.Context, conn *grpc.ClientConn, node *corev3.Node) (wire, error) {
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return wire{}, err
	}
	return wire{
		send: func(r request) error {
			return stream.Send(&discoveryv3.DeltaDiscoveryRequest{
				Node: node, TypeUrl: r.url, ResponseNonce: r.nonce, ErrorDetail: r.detail(),
				ResourceNamesSubscribe: r.added, ResourceNamesUnsubscribe: r.gone, InitialResourceVersions: r.has,
			})
		},
		recv: func() (response, error) {
			m, err := stream.Recv()
			out := response{url: m.GetTypeUrl(), nonce: m.GetNonce(), version: m.GetSystemVersionInfo(), removed: m.GetRemovedResources()}
			for _, r := range m.GetResources() {
				out.resources = append(out.resources, resource{r.GetName(), r.GetVersion(), r.GetResource()})
			}
			return out, err
		},
	}, nil
}

// openStateOfTheWorld gives resources without names, which only what they hold tells.
func openStateOfTheWorld(ctx context.Context, conn *grpc.ClientConn, node *corev3.Node) (wire, error) {
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).StreamAggregatedResources(ctx)
	if err != nil {
		return wire{}, err
	}
	return wire{
		send: func(r request) error {
			return stream.Send(&discoveryv3.DiscoveryRequest{
				Node: node, TypeUrl: r.url, ResponseNonce: r.nonce, VersionInfo: r.version, ErrorDetail: r.detail(), ResourceNames: r.all,
			})
		},
		recv: func() (response, error) {
			m, err := stream.Recv()
			out := response{url: m.GetTypeUrl(), nonce: m.GetNonce(), version: m.GetVersionInfo()}
			for i, r := range m.GetResources() {
				out.resources = append(out.resources, resource{name: fmt.Sprint(i), body: r})
			}
			return out, err
		},
	}, nil
}
