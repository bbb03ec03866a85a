package patch

import (
	"fmt"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"
)

// merge puts what is set in a value over a message, as proto.Merge does, but for durations, which are one
// value and not two: lists grow, entries of maps are replaced, messages are merged.
func merge(to, value proto.Message) { mergeInto(to.ProtoReflect(), value.ProtoReflect()) }

func mergeInto(to, value protoreflect.Message) {
	value.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case fd.IsList():
			list := to.Mutable(fd).List()
			for i := range v.List().Len() {
				list.Append(copied(fd, v.List().Get(i)))
			}
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
			mergeInto(to.Mutable(fd).Message(), v.Message())
		}
		return true
	})
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
func mergeAny(to, value *anypb.Any) (*anypb.Any, error) {
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
	merge(out, change)
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
func mergeSocket(value *core.TransportSocket, among ...*core.TransportSocket) (*core.TransportSocket, error) {
	for _, s := range among {
		if s.GetTypedConfig() == nil || s.GetTypedConfig().MessageName() != value.GetTypedConfig().MessageName() {
			continue
		}
		merged, err := mergeAny(s.GetTypedConfig(), value.GetTypedConfig())
		if err != nil {
			return nil, err
		}
		s.ConfigType = &core.TransportSocket_TypedConfig{TypedConfig: merged}
		return s, nil
	}
	return nil, nil
}
