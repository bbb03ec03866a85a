package push

import (
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// ownSettings reads what a proxy's own ProxyConfig says in a message, and tells whether it says anything that
// can be read.
func ownSettings(s *structpb.Struct, into proto.Message) bool {
	if s == nil {
		return false
	}
	text, err := s.MarshalJSON()
	if err != nil {
		return false
	}
	// Durations are as the user wrote them.
	if text, err = model.SecondsJSON(text, into.ProtoReflect().Descriptor()); err != nil {
		return false
	}
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(text, into) == nil
}

func connections(s *structpb.Struct, kind model.ProxyType) *model.Connections {
	settings := &meshconfig.ProxyConfig_ConnectionSettings{}
	if !ownSettings(s, settings) {
		return nil
	}
	out := model.NewConnections(settings, kind)
	return &out
}

func proxyHeaders(s *structpb.Struct) *model.ProxyHeaders {
	settings := &meshconfig.ProxyConfig_ProxyHeaders{}
	if !ownSettings(s, settings) {
		return nil
	}
	out := model.NewProxyHeaders(settings)
	return &out
}
