package xds

import (
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
)

// Service gives the gRPC service for one listener; with authenticate, a stream must prove an
// identity that its node agrees with.
func (s *Server) Service(authenticate Authenticate) discoveryv3.AggregatedDiscoveryServiceServer {
	return &service{server: s, authenticate: authenticate}
}

type service struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	server       *Server
	authenticate Authenticate
}

// StreamAggregatedResources serves the state-of-the-world protocol.
func (s *service) StreamAggregatedResources(st discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return s.serve(st, false)
}

// DeltaAggregatedResources serves the delta protocol.
func (s *service) DeltaAggregatedResources(st discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.serve(st, true)
}

func (s *service) serve(st grpc.ServerStream, delta bool) error {
	w, err := newWire(st, delta)
	if err != nil {
		return err
	}
	return s.server.serve(st.Context(), w, s.authenticate)
}
