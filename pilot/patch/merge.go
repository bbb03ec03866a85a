package patch

import (
	"fmt"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// merger merges messages as proto.Merge does, but for durations, which are one value and not two: entries of
// maps are replaced, messages are merged.
type merger struct {
	// replaceLists puts a list in the place of what is there, which else grows.
	replaceLists bool
}

// merge puts what is set in a value over a message.
func (m merger) merge(to, value proto.Message) { m.mergeInto(to.ProtoReflect(), value.ProtoReflect()) }

func (m merger) mergeInto(to, value protoreflect.Message) {
	value.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList():
			to.Set(fd, m.mergeList(fd, to, v.List()))
		case fd.IsMap():
			entries := to.Mutable(fd).Map()
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				entries.Set(k, copied(fd.MapValue(), v))
				return true
			})
		case fd.Message() == nil:
			to.Set(fd, v)
		case whole(fd.Message()) || !to.Has(fd):
			to.Set(fd, copied(fd, v))
		default:
			m.mergeInto(to.Mutable(fd).Message(), v.Message())
		}
		return true
	})
}

// mergeList gives a list of its own: what a message holds may be shared with others.
func (m merger) mergeList(fd protoreflect.FieldDescriptor, to protoreflect.Message, value protoreflect.List) protoreflect.Value {
	out := to.NewField(fd)
	if !m.replaceLists {
		for i := range to.Get(fd).List().Len() {
			out.List().Append(to.Get(fd).List().Get(i))
		}
	}
	for i := range value.Len() {
		out.List().Append(copied(fd, value.Get(i)))
	}
	return out
}

// whole tells whether a message is one value: a duration, or an Any, of which the parts mean nothing alone.
func whole(d protoreflect.MessageDescriptor) bool {
	name := d.FullName()
	return name == (&durationpb.Duration{}).ProtoReflect().Descriptor().FullName() || name == (&anypb.Any{}).ProtoReflect().Descriptor().FullName()
}

func copied(fd protoreflect.FieldDescriptor, v protoreflect.Value) protoreflect.Value {
	if fd.Message() == nil {
		return v
	}
	return protoreflect.ValueOfMessage(proto.Clone(v.Message().Interface()).ProtoReflect())
}

// replaceMessage puts a copy of a value in the place of what a message says.
func replaceMessage(to, value proto.Message) {
	proto.Reset(to)
	proto.Merge(to, value)
}

// mergeAny merges two messages of one type.
func (m merger) mergeAny(to, value *anypb.Any) (*anypb.Any, error) {
	if to.MessageName() != value.MessageName() {
		return nil, fmt.Errorf("it has a configuration of type %s, and what is there is of type %s", value.MessageName(), to.MessageName())
	}
	out, err := to.UnmarshalNew()
	if err != nil {
		return nil, err
	}
	change, err := value.UnmarshalNew()
	if err != nil {
		return nil, err
	}
	m.merge(out, change)
	return pack(out)
}

// pack marshals a message so that the same meaning has the same bytes.
func pack(m proto.Message) (*anypb.Any, error) {
	out := &anypb.Any{}
	err := anypb.MarshalFrom(out, m, proto.MarshalOptions{Deterministic: true})
	return out, err
}

// mergeSocket merges a transport socket into one that has settings of the same type, whatever its name, or
// gives nil where there is no such.
func (m merger) mergeSocket(value *core.TransportSocket, among ...*core.TransportSocket) (*core.TransportSocket, error) {
	for _, s := range among {
		if s.GetTypedConfig() == nil || s.GetTypedConfig().MessageName() != value.GetTypedConfig().MessageName() {
			continue
		}
		merged, err := m.mergeAny(s.GetTypedConfig(), value.GetTypedConfig())
		if err != nil {
			return nil, err
		}
		s.ConfigType = &core.TransportSocket_TypedConfig{TypedConfig: merged}
		return s, nil
	}
	return nil, nil
}
