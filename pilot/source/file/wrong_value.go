package file

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// wrongValue matches what protojson says of a value of another type than the field's. wrongShape is for one that stands
// where a list or an object has to, setTwice for a field beside which another one may not be set.
var (
	wrongValue = regexp.MustCompile(`^invalid value for (enum|string) field \S+: (.*)$`)
	wrongShape = regexp.MustCompile(`^syntax error \(line \d+:\d+\): unexpected token (.*)$`)
	setTwice   = regexp.MustCompile(`^error parsing "[^"]*", oneof (\S+) is already set$`)
)

// advised adds to what protojson says of a value what may stand there: a list or an object, the names of an enumeration,
// a text in quotes, or one field of several.
func advised(text, field string, root protoreflect.MessageDescriptor) string {
	if found := wrongShape.FindStringSubmatch(text); found != nil {
		if wanted := shapeAt(root, field); wanted != "" {
			return fmt.Sprintf("is %s, and has to be %s", shapeOf(found[1]), wanted)
		}
		return text
	}
	if found := setTwice.FindStringSubmatch(text); found != nil {
		if d, err := protoregistry.GlobalFiles.FindDescriptorByName(protoreflect.FullName(found[1])); err == nil {
			return fmt.Sprintf("may not stand beside another of %s; keep one of them", strings.Join(alternatives(d.(protoreflect.OneofDescriptor)), ", "))
		}
		return text
	}
	found := wrongValue.FindStringSubmatch(text)
	if found == nil {
		return text
	}
	kind, value := found[1], found[2]
	if kind == "string" {
		if value == "true" || value == "false" {
			return fmt.Sprintf("%s is a truth value of YAML, as yes, no, on and off are without quotes, and this is a text; write it in quotes", value)
		}
		if value != "null" && strings.Trim(value, "0123456789+-.eE") == "" {
			return fmt.Sprintf("%s is a number, and this is a text; write it in quotes, as %q", value, value)
		}
		return text
	}
	fd := fieldAt(root, strings.TrimPrefix(field, "spec."))
	if fd == nil || fd.Enum() == nil {
		return text
	}
	return fmt.Sprintf("%s is none of its values; use %s", value, strings.Join(valuesOf(fd.Enum()), ", "))
}

// shapeOf names what a JSON value is that begins with a token.
func shapeOf(token string) string {
	switch token[:min(1, len(token))] {
	case "{":
		return "an object"
	case "[":
		return "a list"
	case `"`:
		return "a text"
	}
	return token
}

// shapeAt names what has to stand at a field, or an item of it; "" where it is neither a list nor an object.
func shapeAt(root protoreflect.MessageDescriptor, field string) string {
	fd := fieldAt(root, strings.TrimPrefix(field, "spec."))
	switch item := strings.HasSuffix(field, "]"); {
	case fd == nil:
		return ""
	case fd.IsList() && !item:
		return "a list"
	case fd.IsMap() && !item:
		return "an object"
	case fd.IsMap() || fd.Message() == nil || fd.Message().ParentFile().Package() == "google.protobuf":
		return "" // which JSON writes in its own ways
	}
	return "an object"
}

// alternatives names the fields of which one may be set, as users write them.
func alternatives(d protoreflect.OneofDescriptor) []string {
	var out []string
	for i := range d.Fields().Len() {
		out = append(out, d.Fields().Get(i).JSONName())
	}
	return out
}

// valuesOf names those of an enumeration that are not deprecated.
func valuesOf(enum protoreflect.EnumDescriptor) []string {
	var out []string
	for i := range enum.Values().Len() {
		v := enum.Values().Get(i)
		if o, ok := v.Options().(*descriptorpb.EnumValueOptions); !ok || !o.GetDeprecated() {
			out = append(out, string(v.Name()))
		}
	}
	return out
}

// fieldAt gives the field at a path of a message, as spec.tls[0].mode; nil where there is none, or what is in it is of
// the value of a map whose key has dots.
func fieldAt(m protoreflect.MessageDescriptor, path string) protoreflect.FieldDescriptor {
	steps := strings.Split(path, ".")
	for i := 0; i < len(steps) && m != nil; i++ {
		name, _, _ := strings.Cut(steps[i], "[")
		fd := m.Fields().ByJSONName(name)
		if fd == nil {
			fd = m.Fields().ByName(protoreflect.Name(name))
		}
		if fd == nil {
			return nil
		}
		if fd.IsMap() {
			i++ // the key
			fd = fd.MapValue()
		}
		if i >= len(steps)-1 {
			return fd
		}
		m = fd.Message()
	}
	return nil
}
