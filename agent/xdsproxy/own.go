package xdsproxy

import (
	"sync"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

// outbox holds the agent's own messages for upstream until they are sent: of each type the last one, since of two
// acknowledgements the newer says all. It never blocks.
type outbox struct {
	mu      sync.Mutex
	waiting []ownMessage
	// ready has an element while there may be messages.
	ready chan struct{}
}

type ownMessage struct {
	typeURL string
	message proto.Message
}

func newOutbox() *outbox { return &outbox{ready: make(chan struct{}, 1)} }

func (o *outbox) put(typeURL string, m proto.Message) {
	o.mu.Lock()
	defer o.mu.Unlock()
	replaced := false
	for i := range o.waiting {
		if o.waiting[i].typeURL == typeURL {
			o.waiting[i].message, replaced = m, true
		}
	}
	if !replaced {
		o.waiting = append(o.waiting, ownMessage{typeURL, m})
	}
	select {
	case o.ready <- struct{}{}:
	default:
	}
}

// take gives all that waits, in the order in which the types came.
func (o *outbox) take() []ownMessage {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := o.waiting
	o.waiting = nil
	return out
}

// ownType finds a type that is the agent's own; nil for others.
func (p *Proxy) ownType(typeURL string) *Own {
	for i := range p.cfg.Own {
		if p.cfg.Own[i].TypeURL == typeURL {
			return &p.cfg.Own[i]
		}
	}
	return nil
}

// takeOwn hands a resource to whom it is for, and answers the control plane.
func (j *joint) takeOwn(own *Own, f *frame) error {
	data := f.data.Materialize()
	f.free()
	resp, err := j.proto.read(data)
	if err != nil {
		return status.Errorf(codes.Internal, "response of the control plane with %s: %v", own.TypeURL, err)
	}
	var refused *node.Status
	if resp.changed {
		var value []byte
		if resp.resource != nil {
			value = append([]byte{}, resp.resource.GetValue()...) // of an empty message it is nil
		}
		if err := own.Take(value); err != nil {
			refused = problemOf(int32(codes.InvalidArgument), err.Error())
			j.proxy.cfg.Logger.Warn("xDS: resource refused", "type", own.TypeURL, "error", err)
		}
	}
	j.own.put(own.TypeURL, resp.answer(refused))
	return nil
}
