package file

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// wrongValue matches what protojson says of a value of another type than the field's.
var wrongValue = regexp.MustCompile(`^invalid value for (enum|string) field \S+: (.*)$`)

// advised adds to what protojson says of a value what may stand there: the names of an enumeration, or a text in quotes.
func advised(text, field string, root protoreflect.MessageDescriptor) string {
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
