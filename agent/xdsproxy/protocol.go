package xdsproxy

import (
	"fmt"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

const (
	googleapis   = "type.googleapis.com/"
	listenerType = googleapis + "envoy.config.listener.v3.Listener"
	// healthType is what Istio's agents say the application's health by.
	healthType = googleapis + "istio.v1.HealthInformation"
)

// protocol is what differs between state of the world and delta.
type protocol struct {
	method      string
	requestType func(mem.BufferSlice) (string, error)
	// peekResponse gives a response's type, and what the control plane says of itself.
	peekResponse func(mem.BufferSlice) (typeURL, from string, err error)
	// subscribe asks for a type; read takes apart a response with one.
	subscribe func(typeURL string) proto.Message
	// inform tells something by a type and a detail, nil for none, and asks for nothing.
	inform func(typeURL string, detail *node.Status) proto.Message
	read   func(data []byte) (*response, error)
}

// response is one with a type of the agent's own.
type response struct {
	// resource is nil for one that is gone; changed tells whether the response says anything of it.
	resource *node.Any
	changed  bool
	// answer gives the acknowledgement, or the refusal.
	answer func(refused *node.Status) proto.Message
}

const service = "envoy.service.discovery.v3.AggregatedDiscoveryService"

var (
	stateOfTheWorld = &protocol{
		method:       "StreamAggregatedResources",
		requestType:  func(b mem.BufferSlice) (string, error) { return peekString(b, requestType) },
		peekResponse: func(b mem.BufferSlice) (string, string, error) { return peek(b, responseType, responseControlPlane) },
		subscribe:    func(typeURL string) proto.Message { return &node.DiscoveryRequest{TypeUrl: typeURL} },
		inform: func(typeURL string, detail *node.Status) proto.Message {
			return &node.DiscoveryRequest{TypeUrl: typeURL, ErrorDetail: detail}
		},
		read: readFull,
	}
	delta = &protocol{
		method:      "DeltaAggregatedResources",
		requestType: func(b mem.BufferSlice) (string, error) { return peekString(b, deltaRequestType) },
		peekResponse: func(b mem.BufferSlice) (string, string, error) {
			return peek(b, deltaResponseType, deltaResponseControlPlane)
		},
		subscribe: func(typeURL string) proto.Message { return &node.DeltaDiscoveryRequest{TypeUrl: typeURL} },
		inform: func(typeURL string, detail *node.Status) proto.Message {
			return &node.DeltaDiscoveryRequest{TypeUrl: typeURL, ErrorDetail: detail}
		},
		read: readDelta,
	}
)

// readFull reads a response without resources as one that says nothing: there is none yet.
func readFull(data []byte) (*response, error) {
	var resp node.DiscoveryResponse
	if err := proto.Unmarshal(data, &resp); err != nil {
		return nil, err
	}
	out := &response{answer: func(refused *node.Status) proto.Message {
		req := &node.DiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce(), ErrorDetail: refused}
		if refused == nil {
			req.VersionInfo = resp.GetVersionInfo()
		}
		return req
	}}
	if len(resp.GetResources()) > 0 {
		out.resource, out.changed = resp.GetResources()[0], true
	}
	return out, checkType(out.resource, resp.GetTypeUrl())
}

func readDelta(data []byte) (*response, error) {
	var resp node.DeltaDiscoveryResponse
	if err := proto.Unmarshal(data, &resp); err != nil {
		return nil, err
	}
	out := &response{changed: len(resp.GetRemovedResources()) > 0, answer: func(refused *node.Status) proto.Message {
		return &node.DeltaDiscoveryRequest{TypeUrl: resp.GetTypeUrl(), ResponseNonce: resp.GetNonce(), ErrorDetail: refused}
	}}
	if len(resp.GetResources()) > 0 {
		out.resource, out.changed = resp.GetResources()[0].GetResource(), true
	}
	return out, checkType(out.resource, resp.GetTypeUrl())
}

func checkType(r *node.Any, typeURL string) error {
	if r != nil && r.GetTypeUrl() != typeURL {
		return fmt.Errorf("the resource is a %q", r.GetTypeUrl())
	}
	return nil
}

// encode makes a frame of our own message.
func encode(m proto.Message) (*frame, error) {
	b, err := proto.Marshal(m)
	if err != nil {
		return nil, err
	}
	return &frame{data: mem.BufferSlice{mem.SliceBuffer(b)}}, nil
}
