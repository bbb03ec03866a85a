package floor

import (
	"fmt"

	"google.golang.org/grpc/mem"
)

// raw is a message as it is on the wire. A received one is valid until free.
type raw struct {
	bytes  []byte
	buffer mem.Buffer
}

// free gives the memory of a received message back.
func (r *raw) free() {
	if r.buffer != nil {
		r.buffer.Free()
		r.buffer, r.bytes = nil, nil
	}
}

// codec hands raw messages through. It stands in for gRPC's codec for protobuf.
type codec struct{}

// Name is what the content type says.
func (codec) Name() string { return "proto" }

// Marshal gives a *raw's bytes, which nobody may change afterwards.
func (codec) Marshal(v any) (mem.BufferSlice, error) {
	r, ok := v.(*raw)
	if !ok {
		return nil, fmt.Errorf("cannot send a %T", v)
	}
	return mem.BufferSlice{mem.SliceBuffer(r.bytes)}, nil
}

// Unmarshal fills a *raw.
func (codec) Unmarshal(data mem.BufferSlice, v any) error {
	r, ok := v.(*raw)
	if !ok {
		return fmt.Errorf("cannot receive a %T", v)
	}
	r.buffer = data.MaterializeToBuffer(mem.DefaultBufferPool())
	r.bytes = r.buffer.ReadOnlyData()
	return nil
}
