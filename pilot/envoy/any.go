package envoy

import (
	"fmt"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// Any packs a message deterministically, so that equal messages have equal bytes.
func Any(m proto.Message) *anypb.Any {
	a := &anypb.Any{}
	// Marshalling fails only for strings that are not UTF-8; sources refuse those.
	if err := anypb.MarshalFrom(a, m, proto.MarshalOptions{Deterministic: true}); err != nil {
		panic(fmt.Sprintf("packing %s: %v", m.ProtoReflect().Descriptor().FullName(), err))
	}
	return a
}
