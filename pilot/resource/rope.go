package resource

import (
	"bytes"
	"slices"
	"sync"
	"unsafe"
	"weak"

	"github.com/cespare/xxhash/v2"
)

// Fragment is a field of a message, tag and length included, that several resources share. Nobody may
// write to it.
type Fragment struct{ Field []byte }

// NewFromFragments frames a message that consists of head, already marshalled, and of fragments. A
// large one is put together only when it is sent.
func NewFromFragments(t Type, name string, head []byte, fragments []*Fragment) *Resource {
	size := 0
	for _, f := range fragments {
		size += len(f.Field)
	}
	r := &Resource{Type: t, Name: name}
	if size > largeResource {
		r.finishRope(head, fragments)
		return r
	}
	for _, f := range fragments {
		head = append(head, f.Field...)
	}
	r.finish(head)
	return r
}

// rope is the frame of a large route configuration: a head, and virtual hosts that it shares with
// the configurations of other classes, since those of two namespaces differ in few. It is put
// together when it is sent, once for all streams that send it at about the same time.
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
	out := append(make([]byte, 0, size), r.head...)
	for _, h := range r.fragments {
		out = append(out, h.Field...)
	}
	r.joined = weak.Make(&out[0])
	return out
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

// sameBytes tells whether two resources have the same frame, where those that are put together have
// the same fragments.
func (r *Resource) sameBytes(o *Resource) bool {
	if r.rope == nil || o.rope == nil {
		return r.rope == o.rope && bytes.Equal(r.frame, o.frame)
	}
	return bytes.Equal(r.rope.head, o.rope.head) && slices.Equal(r.rope.fragments, o.rope.fragments)
}
