package xds

import (
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that this one falls back to
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// response is one discovery response of either protocol, not yet on the wire.
type response struct {
	typ       push.Type
	delta     bool
	version   string
	nonce     string
	resources []*push.Resource
	removed   []string // delta only
}

// buffers gives the message as a header of its own and the shared bytes of the resources; the
// order of fields in a protobuf message is free.
func (r *response) buffers() (mem.BufferSlice, error) {
	var head proto.Message = &discoveryv3.DiscoveryResponse{
		VersionInfo: r.version, TypeUrl: r.typ.URL(), Nonce: r.nonce,
	}
	if r.delta {
		head = &discoveryv3.DeltaDiscoveryResponse{
			SystemVersionInfo: r.version, TypeUrl: r.typ.URL(), Nonce: r.nonce, RemovedResources: r.removed,
		}
	}
	b, err := proto.Marshal(head)
	if err != nil {
		return nil, err
	}
	out := make(mem.BufferSlice, 0, 1+len(r.resources))
	out = append(out, mem.SliceBuffer(b))
	for _, res := range r.resources {
		out = append(out, mem.SliceBuffer(frameOf(res, r.delta)))
	}
	return out, nil
}

func frameOf(r *push.Resource, delta bool) []byte {
	if delta {
		return r.Delta()
	}
	return r.SotW()
}

// size is what the resources take on the wire.
func (r *response) size() int {
	n := 0
	for _, res := range r.resources {
		n += len(frameOf(res, r.delta))
	}
	return n
}

// codec is gRPC's codec for protobuf, which hands over a response's shared bytes as they are.
type codec struct{ encoding.CodecV2 }

// Codec gives the codec for grpc.ForceServerCodecV2; a server without it cannot send responses.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

// Marshal writes a message.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*response); ok {
		return r.buffers()
	}
	return c.CodecV2.Marshal(v)
}
