package xdsproxy

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/proto/nds"
	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

const (
	googleapis    = "type.googleapis.com/"
	listenerType  = googleapis + "envoy.config.listener.v3.Listener"
	nameTableType = googleapis + "istio.networking.nds.v1.NameTable"
)

// protocol is what differs between state of the world and delta.
type protocol struct {
	method                    string
	requestType, responseType func(mem.BufferSlice) (string, error)
	// subscribe asks for the name table; accept reads a response with one (nil when it has none)
	// and gives the acknowledgement.
	subscribe func() proto.Message
	accept    func(data []byte) (*nds.NameTable, proto.Message, error)
}

const service = "envoy.service.discovery.v3.AggregatedDiscoveryService"

var (
	stateOfTheWorld = &protocol{
		method:       "StreamAggregatedResources",
		requestType:  func(b mem.BufferSlice) (string, error) { return peekString(b, requestType) },
		responseType: func(b mem.BufferSlice) (string, error) { return peekString(b, responseType) },
		subscribe:    func() proto.Message { return &node.DiscoveryRequest{TypeUrl: nameTableType} },
		accept:       acceptFull,
	}
	delta = &protocol{
		method:       "DeltaAggregatedResources",
		requestType:  func(b mem.BufferSlice) (string, error) { return peekString(b, deltaRequestType) },
		responseType: func(b mem.BufferSlice) (string, error) { return peekString(b, deltaResponseType) },
		subscribe:    func() proto.Message { return &node.DeltaDiscoveryRequest{TypeUrl: nameTableType} },
		accept:       acceptDelta,
	}
)

func acceptFull(data []byte) (*nds.NameTable, proto.Message, error) {
	var resp node.DiscoveryResponse
	if err := proto.Unmarshal(data, &resp); err != nil {
		return nil, nil, fmt.Errorf("name table: %w", err)
	}
	ack := &node.DiscoveryRequest{
		TypeUrl: nameTableType, VersionInfo: resp.GetVersionInfo(), ResponseNonce: resp.GetNonce(),
	}
	if len(resp.GetResources()) == 0 {
		return nil, ack, nil
	}
	table, err := unpack(resp.GetResources()[0])
	return table, ack, err
}

func acceptDelta(data []byte) (*nds.NameTable, proto.Message, error) {
	var resp node.DeltaDiscoveryResponse
	if err := proto.Unmarshal(data, &resp); err != nil {
		return nil, nil, fmt.Errorf("name table: %w", err)
	}
	ack := &node.DeltaDiscoveryRequest{TypeUrl: nameTableType, ResponseNonce: resp.GetNonce()}
	if len(resp.GetResources()) == 0 {
		if len(resp.GetRemovedResources()) > 0 {
			return &nds.NameTable{}, ack, nil
		}
		return nil, ack, nil
	}
	table, err := unpack(resp.GetResources()[0].GetResource())
	return table, ack, err
}

func unpack(resource *node.Any) (*nds.NameTable, error) {
	if resource.GetTypeUrl() != nameTableType {
		return nil, fmt.Errorf("name table: the resource is a %q", resource.GetTypeUrl())
	}
	table := &nds.NameTable{}
	if err := proto.Unmarshal(resource.GetValue(), table); err != nil {
		return nil, fmt.Errorf("name table: %w", err)
	}
	return table, nil
}

// encode makes a frame of our own message.
func encode(m proto.Message) (*frame, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return &frame{data: mem.BufferSlice{mem.SliceBuffer(b)}}, nil
}
