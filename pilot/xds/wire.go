package xds

import (
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	_ "google.golang.org/grpc/encoding/proto" // registers the codec that this one falls back to
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// wire is one stream of either protocol.
type wire interface {
	recv(*request) error
	send(*response) error
	message(proto.Message) error // of another type; it may be called beside send
	// end tells the client why the stream ends, nil for no reason, and has recv and send return, also while they wait
	// for the client. It may be called beside all others.
	end(reason error)
	delta() bool
}

// transport is what gRPC has below a stream. It ends the stream by it after its handler has returned; before that
// nothing else frees a handler that receives.
type transport interface {
	WriteStatus(*status.Status) error
}

// grpcWire is a gRPC stream. Messages go around the generated types, straight to Codec.
type grpcWire struct {
	stream    grpc.ServerStream
	transport transport
	isDelta   bool
}

func (w grpcWire) delta() bool            { return w.isDelta }
func (w grpcWire) send(r *response) error { return w.stream.SendMsg(r) }
func (w grpcWire) end(reason error)       { _ = w.transport.WriteStatus(status.Convert(reason)) } // it may be over

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

func newWire(s grpc.ServerStream, delta bool) (*lockedWire, error) {
	t, ok := grpc.ServerTransportStreamFromContext(s.Context()).(transport)
	if !ok {
		return nil, status.Error(codes.Internal, "this version of gRPC has no way to end a stream while its handler receives")
	}
	return &lockedWire{grpcWire: grpcWire{s, t, delta}}, nil
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
