package translate

import (
	"slices"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// pathOf gives a path as the tables write it.
func pathOf(kind string, steps []protoreflect.FieldDescriptor) string {
	var b strings.Builder
	b.WriteString(kind)
	for _, s := range steps {
		b.WriteString("." + s.JSONName())
	}
	return b.String()
}

// isLeaf tells whether a field's value is set as a whole.
func isLeaf(fd protoreflect.FieldDescriptor) bool {
	if fd.IsMap() {
		return fd.MapValue().Message() == nil || fd.MapValue().Message().Fields().Len() == 0
	}
	return fd.Message() == nil || fd.Message().ParentFile().Package() == "google.protobuf" || fd.Message().Fields().Len() == 0
}

// leaves visits the path of each leaf; a message is not entered within itself.
func leaves(d protoreflect.MessageDescriptor, path []protoreflect.FieldDescriptor, within []protoreflect.FullName, visit func([]protoreflect.FieldDescriptor)) {
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		next := append(slices.Clone(path), fd)
		if isLeaf(fd) {
			visit(next)
			continue
		}
		inner := fd.Message()
		if fd.IsMap() {
			inner = fd.MapValue().Message()
		}
		if !slices.Contains(within, inner.FullName()) {
			leaves(inner, next, append(slices.Clone(within), inner.FullName()), visit)
		}
	}
}

// mapKey is the key under which a map's value is tried.
func mapKey(fd protoreflect.FieldDescriptor) protoreflect.MapKey {
	if fd.Name() == "tag_overrides" { // of a metric, which has labels of its own
		return protoreflect.ValueOfString("response_flags").MapKey()
	}
	if fd.MapKey().Kind() == protoreflect.StringKind {
		return protoreflect.ValueOfString("x-key").MapKey()
	}
	return protoreflect.ValueOfUint32(9080).MapKey()
}

// parent gives the message that holds the last field of a path, with all on the way to it made.
func parent(m protoreflect.Message, path []protoreflect.FieldDescriptor) protoreflect.Message {
	for _, fd := range path[:len(path)-1] {
		switch {
		case fd.IsMap():
			m = m.Mutable(fd).Map().Mutable(mapKey(fd)).Message()
		case fd.IsList():
			list := m.Mutable(fd).List()
			if list.Len() == 0 {
				list.AppendMutable()
			}
			m = list.Get(0).Message()
		default:
			m = m.Mutable(fd).Message()
		}
	}
	return m
}

// values gives the JSON of some values of a leaf. Stated ones are all of interest, of others the first that acts.
func values(path string, fd protoreflect.FieldDescriptor) (out []string, stated bool) {
	for _, s := range samples {
		if strings.HasSuffix(path, s.path) {
			return s.values, true
		}
	}
	switch {
	case fd.IsMap():
		return []string{`{"app": "reviews"}`, `{"x-a": "v"}`}, false
	case fd.Kind() == protoreflect.EnumKind:
		for i := range fd.Enum().Values().Len() {
			out = append(out, `"`+string(fd.Enum().Values().Get(i).Name())+`"`)
		}
	case fd.Message() != nil:
		switch fd.Message().Name() {
		case "Duration":
			out = []string{`"7s"`}
		case "BoolValue":
			out = []string{"true", "false"}
		case "UInt32Value", "UInt64Value", "Int32Value", "Int64Value":
			out = []string{"3"}
		case "DoubleValue":
			out = []string{"0.3"}
		default:
			out = []string{"{}"}
		}
	case fd.Kind() == protoreflect.StringKind:
		out = []string{`"x"`, `"v2"`, `"reviews"`, `"/x"`, `"10.0.0.0/24"`, `"10.1.2.3"`, `"503"`}
	case fd.Kind() == protoreflect.BoolKind:
		out = []string{"true"}
	default:
		out = []string{"3", "30", "9080"}
	}
	if fd.IsList() {
		for i := range out {
			out[i] = "[" + out[i] + "]"
		}
	}
	return out, false
}

// two gives the value of a list or a map with one entry more; "" for others.
func two(fd protoreflect.FieldDescriptor, value string) string {
	switch {
	case fd.IsMap() && fd.MapKey().Kind() == protoreflect.StringKind && fd.MapValue().Kind() == protoreflect.StringKind:
		return strings.TrimSuffix(value, "}") + `, "second": "2"}`
	case fd.IsList() && fd.Kind() == protoreflect.StringKind:
		return strings.TrimSuffix(value, "]") + `, "second"]`
	}
	return ""
}

// set gives a message with a leaf set, or nil where that makes no sense.
func set(m proto.Message, path []protoreflect.FieldDescriptor, value string) proto.Message {
	out := proto.Clone(m)
	fd := path[len(path)-1]
	at := parent(out.ProtoReflect(), path)
	one := at.New().Interface()
	if protojson.Unmarshal([]byte(`{"`+fd.JSONName()+`":`+value+`}`), one) != nil {
		return nil
	}
	at.Set(fd, one.ProtoReflect().Get(fd))
	return out
}

// has tells whether a message has all fields of a path.
func has(m protoreflect.Message, path []protoreflect.FieldDescriptor) bool {
	for _, fd := range path {
		switch {
		case !m.Has(fd):
			return false
		case fd.IsMap():
			value := m.Get(fd).Map().Get(mapKey(fd))
			if !value.IsValid() {
				return false
			}
			m = value.Message()
		case fd.IsList():
			m = m.Get(fd).List().Get(0).Message()
		default:
			m = m.Get(fd).Message()
		}
	}
	return true
}
