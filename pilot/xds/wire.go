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
type codec struct {
	encoding.CodecV2
	large *largeRooms
}

// Codec gives the codec for grpc.ForceServerCodecV2; a server without it cannot serve streams.
func Codec() encoding.CodecV2 { return codec{encoding.GetCodecV2("proto"), &largeRooms{}} }

// Marshal writes a message. A response's shared bytes are handed over as they are.
func (c codec) Marshal(v any) (mem.BufferSlice, error) {
	if r, ok := v.(*response); ok {
		return r.buffers(), nil
	}
	return c.CodecV2.Marshal(v)
}

// roomForAcks is what a stream keeps for reading, in bytes: enough for an acknowledgement.
const roomForAcks = 512

// Unmarshal reads a message. A request is copied, into the former's place if both are acknowledgements.
func (c codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*request)
	if !ok {
		return c.CodecV2.Unmarshal(data, v)
	}
	switch n := data.Len(); {
	case n > roomForAcks:
		r.raw, r.large = c.large.take(n), c.large
	case cap(r.raw) == roomForAcks:
		r.raw = r.raw[:n]
	default:
		r.raw = make([]byte, n, roomForAcks)
	}
	data.CopyTo(r.raw)
	return r.parse()
}

// largeRooms are where large requests were read into. When a server starts, each of its clients comes with a list of all
// that it holds, one list being as long as the other.
type largeRooms struct{ free sync.Pool }

// largestRoom is what is kept, in bytes. Clients hardly have more to say.
const largestRoom = 1 << 20

func (l *largeRooms) take(n int) []byte {
	if free, ok := l.free.Get().(*[]byte); ok && cap(*free) >= n {
		return (*free)[:n]
	}
	return make([]byte, n)
}

func (l *largeRooms) give(room []byte) {
	if cap(room) <= largestRoom {
		l.free.Put(&room)
	}
}
