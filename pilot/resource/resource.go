package resource

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"sync/atomic"

	"github.com/cespare/xxhash/v2"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Field numbers of envoy.service.discovery.v3. resources has number 2 in both responses, and so
// has the Any in Resource: with the Any last, a delta frame ends in the state-of-the-world frame.
const (
	fieldResources = 2
	fieldVersion   = 1 // of Resource
	fieldAny       = 2 // of Resource
	fieldName      = 3 // of Resource
)

// Resource is one marshalled resource. It is immutable but for the mark of acceptance, and shared
// by all views that have the same bytes.
type Resource struct {
	Type    Type
	Name    string
	Version string // a hash of the bytes, 11 characters
	// LoadAssignment is the name of the load assignment that a cluster needs; "" for none.
	LoadAssignment string

	sum uint64 // a hash of name and version, for the versions of sets
	// frame is the field "resources" of a delta response: tag, length, Resource. It is nil where
	// rope has it.
	frame    []byte
	rope     *rope
	size     int // of the frame
	any      int // where in the frame its Any's tag stands, which is the other protocol's frame
	accepted atomic.Bool
}

// Frame gives the bytes that stand for the resource in a response of either protocol: delta, or the state
// of the world. Nobody may write to them.
func (r *Resource) Frame(delta bool) []byte {
	if r.rope != nil {
		return r.rope.join(r.size)[r.start(delta):]
	}
	return r.frame[r.start(delta):]
}

// appendFrame adds those bytes to others.
func (r *Resource) appendFrame(b []byte, delta bool) []byte {
	if r.rope != nil {
		return r.rope.append(b, r.start(delta))
	}
	return append(b, r.frame[r.start(delta):]...)
}

// Size gives the number of those bytes, without putting them together.
func (r *Resource) Size(delta bool) int { return r.size - r.start(delta) }

// start is where they begin in the frame.
func (r *Resource) start(delta bool) int {
	if delta {
		return 0
	}
	return r.any
}

// Accept marks that a proxy has acknowledged the resource.
func (r *Resource) Accept() {
	if !r.accepted.Load() {
		r.accepted.Store(true)
	}
}

// Accepted tells whether any proxy has acknowledged the resource.
func (r *Resource) Accepted() bool { return r.accepted.Load() }

// Any decodes the resource's envelope, of a private type without what is secret.
func (r *Resource) Any() *anypb.Any {
	if r.Type.Private() {
		return r.redacted()
	}
	return r.envelope()
}

func (r *Resource) envelope() *anypb.Any {
	frame := r.Frame(false)
	_, _, n := protowire.ConsumeTag(frame)
	body, _ := protowire.ConsumeBytes(frame[n:])
	a := &anypb.Any{}
	if err := proto.Unmarshal(body, a); err != nil { // our own bytes
		return &anypb.Any{TypeUrl: r.Type.URL()}
	}
	return a
}

// Message decodes the resource.
func (r *Resource) Message() (proto.Message, error) {
	m := r.Type.New()
	if err := proto.Unmarshal(r.Any().GetValue(), m); err != nil {
		return nil, fmt.Errorf("%s %s: %w", r.Type, r.Name, err)
	}
	return m, nil
}

// New marshals a message deterministically and frames it.
func New(t Type, name string, m proto.Message) (*Resource, error) {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", t, name, err)
	}
	r := &Resource{Type: t, Name: name}
	if c, ok := m.(*clusterv3.Cluster); ok && c.GetType() == clusterv3.Cluster_EDS {
		r.LoadAssignment = c.GetEdsClusterConfig().GetServiceName()
		if r.LoadAssignment == "" {
			r.LoadAssignment = c.GetName()
		}
	}
	r.finish(value)
	return r, nil
}

// finish frames the marshalled message.
func (r *Resource) finish(value []byte) {
	if r.Type.Private() {
		r.name(digest(value))
	} else {
		r.name(xxhash.Sum64(value))
	}
	head, at := frameHead(r, len(value), len(value))
	r.frame, r.any = append(head, value...), at
	r.size = len(r.frame)
}

// name sets what follows from the hash of the marshalled message.
func (r *Resource) name(hash uint64) {
	r.Version = version(hash)
	r.sum = xxhash.Sum64String(r.Name + "\x00" + r.Version)
}

// version is short because clients send all their versions back on a reconnect.
func version(hash uint64) string {
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, hash))
}

// frameHead writes Resource{name, version, resource: Any{url, value}} as a field of a response, up
// to the value. It has room for so many bytes more, and gives the offset of the Any.
func frameHead(r *Resource, value, room int) ([]byte, int) {
	url := r.Type.URL()
	anySize := fieldSize(1, len(url))
	if value > 0 {
		anySize += fieldSize(2, value)
	}
	size := fieldSize(fieldName, len(r.Name)) + fieldSize(fieldVersion, len(r.Version)) + fieldSize(fieldAny, anySize)
	b := appendField(make([]byte, 0, fieldSize(fieldResources, size)-value+room), fieldResources, size)
	b = append(appendField(b, fieldName, len(r.Name)), r.Name...)
	b = append(appendField(b, fieldVersion, len(r.Version)), r.Version...)
	start := len(b)
	b = appendField(b, fieldAny, anySize)
	b = append(appendField(b, 1, len(url)), url...)
	if value > 0 {
		b = appendField(b, 2, value)
	}
	return b, start
}

// fieldSize gives the size of a field of so many bytes, and appendField adds one up to these.
func fieldSize(number protowire.Number, bytes int) int {
	return protowire.SizeTag(number) + protowire.SizeBytes(bytes)
}

func appendField(b []byte, number protowire.Number, bytes int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, number, protowire.BytesType), uint64(bytes))
}
