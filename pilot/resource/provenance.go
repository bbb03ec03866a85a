package resource

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Sources lists the objects that a message says it came from (filter_metadata: istio: config), in
// the order in which they stand, each once.
func Sources(m proto.Message) []model.Key {
	var w sourceWalk
	w.message(m.ProtoReflect())
	return w.keys
}

type sourceWalk struct{ keys []model.Key }

func (w *sourceWalk) message(m protoreflect.Message) {
	switch x := m.Interface().(type) {
	case *structpb.Struct:
		if k, ok := SourceKey(x.GetFields()["config"].GetStringValue()); ok && !slices.Contains(w.keys, k) {
			w.keys = append(w.keys, k)
		}
		return
	case *anypb.Any:
		if inner, err := x.UnmarshalNew(); err == nil {
			w.message(inner.ProtoReflect())
		}
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() { // in the order of declaration, so that the result is stable
		fd := fields.Get(i)
		if fd.Message() == nil || !m.Has(fd) {
			continue
		}
		w.field(fd, m.Get(fd))
	}
}

func (w *sourceWalk) field(fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch {
	case fd.IsMap():
		if fd.MapValue().Message() == nil {
			return
		}
		if s := v.Map().Get(protoreflect.ValueOfString("istio").MapKey()); s.IsValid() && fd.MapKey().Kind() == protoreflect.StringKind {
			w.message(s.Message())
		}
	case fd.IsList():
		for i := range v.List().Len() {
			w.message(v.List().Get(i).Message())
		}
	default:
		w.message(v.Message())
	}
}

// SourceKey reads what a message says of its origin, /apis/GROUP/VERSION/namespaces/NAMESPACE/KEBAB-KIND/NAME.
func SourceKey(path string) (model.Key, bool) {
	parts := strings.Split(strings.TrimPrefix(path, "/apis/"), "/")
	if len(parts) != 6 || parts[2] != "namespaces" {
		return model.Key{}, false
	}
	var kind strings.Builder
	for _, word := range strings.Split(parts[4], "-") {
		if word != "" {
			kind.WriteString(strings.ToUpper(word[:1]) + word[1:])
		}
	}
	return model.Key{Kind: model.Kind(kind.String()), Namespace: parts[3], Name: parts[5]}, true
}
