package push

import (
	"bytes"
	"slices"
	"sync"
	"unsafe"
	"weak"

	"github.com/cespare/xxhash/v2"
)

// rope is the frame of a large route configuration: a head, and virtual hosts that it shares with
// the configurations of other classes, since those of two namespaces differ in few. It is put
// together when it is sent, once for all streams that send it at about the same time.
type rope struct {
	head  []byte
	hosts []*virtualHost

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
	for _, h := range r.hosts {
		out = append(out, h.field...)
	}
	r.joined = weak.Make(&out[0])
	return out
}

// finishRope frames a message that consists of head and the fields of hosts.
func (r *Resource) finishRope(head []byte, hosts []*virtualHost) {
	hash := xxhash.New()
	_, _ = hash.Write(head) // it gives no error
	value := len(head)
	for _, h := range hosts {
		_, _ = hash.Write(h.field)
		value += len(h.field)
	}
	r.name(hash.Sum64())
	before, at := frameHead(r, value, len(head))
	r.any, r.size = at, len(before)+value
	r.rope = &rope{head: append(before, head...), hosts: slices.Clip(hosts)}
}

// sameBytes tells whether two resources have the same frame, where those that are put together have
// the same pieces.
func (r *Resource) sameBytes(o *Resource) bool {
	if r.rope == nil || o.rope == nil {
		return r.rope == o.rope && bytes.Equal(r.frame, o.frame)
	}
	return bytes.Equal(r.rope.head, o.rope.head) && slices.Equal(r.rope.hosts, o.rope.hosts)
}
