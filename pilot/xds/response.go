package xds

import (
	"strconv"
	"time"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// response is one discovery response of either protocol. It is kept until it is acknowledged.
type response struct {
	typ     resource.Type
	delta   bool
	version string
	stream  string // with nonce, what the client sends back
	nonce   uint64 // from 1, counted on the stream

	seen string // of the API server since the former response; empty for nothing

	subscribed *resource.Names // what the client had asked for by name

	blocks    []*resource.Block
	resources []*resource.Resource
	removed   []string // delta only

	at          time.Time // when it was handed over for sending
	adds        bool      // has clusters that may not be warm
	had         []held    // what the client had before, in the order of resources
	hadOfBlocks held      // and what it had of all that is in blocks
	state       *fullState

	turn   *turn              // nil for small ones
	bytes  int                // on the wire; known after it was marshalled
	joined []*resource.Joined // keeps the bytes of blocks for others who send the same
}

// fullState is what a response that holds all of a type took the place of.
type fullState struct {
	set    *resource.Set
	cold   bool           // the client had nothing
	before smallMap[held] // otherwise, where it had something else than the set
}

func (r *response) empty() bool { return len(r.blocks)+len(r.resources)+len(r.removed) == 0 }

// all gives the resources of the response.
func (r *response) all() []*resource.Resource {
	if len(r.blocks) == 0 {
		return r.resources
	}
	var out []*resource.Resource
	for _, b := range r.blocks {
		out = append(out, b.Resources...)
	}
	return append(out, r.resources...)
}

// accept marks all resources as taken by a client.
func (r *response) accept() {
	for _, b := range r.blocks {
		b.Accept()
	}
	for _, res := range r.resources {
		res.Accept()
	}
}

// size estimates the bytes on the wire before the response is marshalled.
func (r *response) size() int {
	n := 0
	for _, b := range r.blocks {
		n += b.Size()
	}
	for _, res := range r.resources {
		n += res.Size(r.delta)
	}
	return n
}

// Field numbers that both responses have, but for the last, which is of the delta protocol. Field 2
// are the resources.
const (
	fieldVersion protowire.Number = 1
	fieldURL     protowire.Number = 4
	fieldNonce   protowire.Number = 5
	fieldRemoved protowire.Number = 6

	// The control plane's field is another one in each protocol; its own is the identifier.
	fieldControlPlane, fieldDeltaControlPlane protowire.Number = 6, 7
	fieldIdentifier                           protowire.Number = 1
)

// buffers gives the message as a head of its own and the shared bytes of the resources; the order
// of fields in a protobuf message is free.
func (r *response) buffers() mem.BufferSlice {
	parts := make([]mem.SliceBuffer, 1, 1+len(r.blocks)+len(r.resources))
	parts[0] = r.head()
	for _, b := range r.blocks {
		joined := b.Join(r.delta)
		r.joined = append(r.joined, joined)
		parts = append(parts, joined.Bytes)
	}
	for _, res := range r.resources {
		parts = append(parts, res.Frame(r.delta))
	}
	out := make(mem.BufferSlice, len(parts))
	for i := range parts {
		out[i] = &parts[i] // a value would be an allocation of its own
	}
	r.bytes = out.Len()
	r.turn.watch(out)
	return out
}

func (r *response) head() []byte {
	var room [80]byte
	nonce := appendNonce(room[:0], r.stream, r.nonce)
	size := len(r.version) + len(nonce) + len(r.typ.URL()) + 3*3
	for _, name := range r.removed {
		size += 1 + protowire.SizeBytes(len(name))
	}
	if r.seen != "" {
		size += 8 + len(r.seen)
	}
	b := protowire.AppendTag(make([]byte, 0, size), fieldVersion, protowire.BytesType)
	b = protowire.AppendString(b, r.version)
	b = protowire.AppendTag(b, fieldURL, protowire.BytesType)
	b = protowire.AppendString(b, r.typ.URL())
	b = protowire.AppendTag(b, fieldNonce, protowire.BytesType)
	b = protowire.AppendBytes(b, nonce)
	for _, name := range r.removed {
		b = protowire.AppendTag(b, fieldRemoved, protowire.BytesType)
		b = protowire.AppendString(b, name)
	}
	if r.seen != "" {
		b = r.appendSeen(b)
	}
	return b
}

// appendSeen adds what was seen of the API server, as the identifier of the control plane.
func (r *response) appendSeen(b []byte) []byte {
	field := fieldControlPlane
	if r.delta {
		field = fieldDeltaControlPlane
	}
	b = protowire.AppendTag(b, field, protowire.BytesType)
	b = protowire.AppendVarint(b, uint64(1+protowire.SizeBytes(len(r.seen))))
	b = protowire.AppendTag(b, fieldIdentifier, protowire.BytesType)
	return protowire.AppendString(b, r.seen)
}

const nonceBase = 36

func appendNonce(b []byte, stream string, nonce uint64) []byte {
	b = append(append(b, stream...), '.')
	return strconv.AppendUint(b, nonce, nonceBase)
}

// parseNonce gives the number of a nonce of this stream, 0 for any other.
func parseNonce(nonce []byte, stream string) uint64 {
	if len(nonce) < len(stream)+2 || string(nonce[:len(stream)]) != stream || nonce[len(stream)] != '.' {
		return 0
	}
	n, err := strconv.ParseUint(string(nonce[len(stream)+1:]), nonceBase, 64)
	if err != nil {
		return 0
	}
	return n
}
