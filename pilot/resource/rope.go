package resource

import (
	"bytes"
	"slices"
	"sync"
	"unsafe"
	"weak"

	"github.com/cespare/xxhash/v2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// Fragment is a field of a message, tag and length included, that several resources share. Nobody may
// write to it.
type Fragment struct{ Field []byte }

// FragmentOf marshals a message as a field of another.
func FragmentOf(field protowire.Number, m proto.Message) (Fragment, error) {
	value, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return Fragment{}, err
	}
	head := appendField(make([]byte, 0, fieldSize(field, len(value))), field, len(value))
	return Fragment{append(head, value...)}, nil
}

// NewFromFragments frames a message that consists of head, already marshalled, and of fragments. A
// large one is put together only when it is sent, and so is a listener: most of those that workloads have for
// themselves is like others.
func NewFromFragments(t Type, name string, head []byte, fragments []*Fragment) *Resource {
	size := 0
	for _, f := range fragments {
		size += len(f.Field)
	}
	r := &Resource{Type: t, Name: name}
	if size > largeResource || t == Listeners && size > 0 {
		r.finishRope(head, fragments)
		return r
	}
	for _, f := range fragments {
		head = append(head, f.Field...)
	}
	r.finish(head)
	return r
}

// rope is the frame of a large route configuration or of a listener: a head, and virtual hosts or filter
// chains that it shares with those of other classes, which differ in few. It is put together when it is
// sent, once for all streams that send it at about the same time.
type rope struct {
	head      []byte
	fragments []*Fragment

	mu     sync.Mutex
	joined weak.Pointer[byte] // the first of the bytes that were put together
}

// join gives the bytes, which live as long as somebody holds on to them.
func (r *rope) join(size int) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first := r.joined.Value(); first != nil {
		return unsafe.Slice(first, size) // as many as were made below
	}
	out := r.append(make([]byte, 0, size), 0)
	r.joined = weak.Make(&out[0])
	return out
}

// append adds the bytes to others, from an offset in the head on.
func (r *rope) append(b []byte, from int) []byte {
	b = append(b, r.head[from:]...)
	for _, f := range r.fragments {
		b = append(b, f.Field...)
	}
	return b
}

// finishRope frames a message that consists of head and fragments.
func (r *Resource) finishRope(head []byte, fragments []*Fragment) {
	hash := xxhash.New()
	_, _ = hash.Write(head) // it gives no error
	value := len(head)
	for _, h := range fragments {
		_, _ = hash.Write(h.Field)
		value += len(h.Field)
	}
	r.name(hash.Sum64())
	before, at := frameHead(r, value, len(head))
	r.any, r.size = at, len(before)+value
	r.rope = &rope{head: append(before, head...), fragments: slices.Clip(fragments)}
}

// sameBytes tells whether two resources have the same frame, however that is kept.
func (r *Resource) sameBytes(o *Resource) bool {
	switch {
	case r.size != o.size:
		return false
	case r.rope == nil && o.rope == nil:
		return bytes.Equal(r.frame, o.frame)
	case r.rope == nil:
		return o.rope.is(r.frame)
	case o.rope == nil:
		return r.rope.is(o.frame)
	}
	return bytes.Equal(r.rope.head, o.rope.head) && slices.EqualFunc(r.rope.fragments, o.rope.fragments, func(f, g *Fragment) bool {
		return f == g || bytes.Equal(f.Field, g.Field)
	})
}

// is tells whether a frame of the same size has the bytes of the rope.
func (r *rope) is(frame []byte) bool {
	frame, same := bytes.CutPrefix(frame, r.head)
	for _, f := range r.fragments {
		if !same {
			return false
		}
		frame, same = bytes.CutPrefix(frame, f.Field)
	}
	return same && len(frame) == 0
}
