package xds

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that this one falls back to
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
)

// wire is one stream of either protocol.
type wire interface {
	recv(*request) error
	send(*response) error
	message(proto.Message) error // of another type; it may be called beside send
	delta() bool
}

// grpcWire is a gRPC stream. Messages go around the generated types, straight to Codec.
type grpcWire struct {
	stream  grpc.ServerStream
	isDelta bool
}

func (w grpcWire) delta() bool            { return w.isDelta }
func (w grpcWire) send(r *response) error { return w.stream.SendMsg(r) }

func (w grpcWire) recv(r *request) error {
	r.delta = w.isDelta
	return w.stream.RecvMsg(r)
}

// lockedWire is a stream on which two goroutines send: the one that delivers, and the one that receives
// and answers questions.
type lockedWire struct {
	grpcWire
	mu sync.Mutex
}

func newWire(s grpc.ServerStream, delta bool) *lockedWire {
	return &lockedWire{grpcWire: grpcWire{s, delta}}
}

func (w *lockedWire) send(r *response) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.grpcWire.send(r)
}

// message sends what is no response of this package.
func (w *lockedWire) message(m proto.Message) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.stream.SendMsg(m)
}

// codec is gRPC's codec for protobuf, but for the messages of this package.
type codec struct{ encoding.CodecV2 }

// Codec gives the codec for grpc.ForceServerCodecV2; a server without it cannot serve streams.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto")} }

// Marshal writes a message. A response's shared bytes are handed over as they are.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*response); ok {
		return r.buffers(), nil
	}
	return c.CodecV2.Marshal(v)
}

// roomForAcks is what a stream keeps for reading, in bytes: enough for an acknowledgement.
const roomForAcks = 512

// Unmarshal reads a message. A request is copied, into the former's place if it fits.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*request)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	n := data.Len()
	if room := max(n, roomForAcks); cap(r.raw) < n || cap(r.raw) > room {
		r.raw = make([]byte, room)
	}
	r.raw = r.raw[:n]
	data.CopyTo(r.raw)
	return r.parse()
}
