package proxyconfig

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	_ "github.com/pilothouse-mesh/pilothouse/proto/envoyapi" // for names of fields in Any
)

const (
	anyName protoreflect.FullName = "google.protobuf.Any"
	// anyType is the field of an Any in JSON that names the message inside.
	anyType = "@type"
)

// protoJSON gives a message that Envoy wrote, whose fields have the names of the .proto files, as
// protojson writes it, in lowerCamelCase. Both ways of writing are read, as protojson reads them.
// Keys of maps and free structures stay as they are, and so does what nobody here knows: fields of
// newer versions, and messages of unknown types.
func protoJSON(data []byte, like proto.Message) (json.RawMessage, error) {
	r := newRenamer(data)
	if err := r.value(like.ProtoReflect().Descriptor()); err != nil {
		return nil, err
	}
	if r.in.More() {
		return nil, errors.New("there is something after the document")
	}
	return r.out.Bytes(), nil
}

// renamer copies one JSON document token by token.
type renamer struct {
	in      *json.Decoder
	out     bytes.Buffer
	scalars *json.Encoder // into out
}

func newRenamer(data []byte) *renamer {
	r := &renamer{in: json.NewDecoder(bytes.NewReader(data))}
	r.in.UseNumber()
	r.scalars = json.NewEncoder(&r.out)
	r.scalars.SetEscapeHTML(false)
	return r
}

// value copies what comes next: a message, or where m is nil what is no message or an unknown one.
func (r *renamer) value(m protoreflect.MessageDescriptor) error {
	if m != nil && m.FullName() == anyName {
		return r.any(nil)
	}
	token, err := r.in.Token()
	if err != nil {
		return err
	}
	switch token {
	case json.Delim('{'):
		return r.object(func(key string) (string, protoreflect.FieldDescriptor) { return field(m, key) })
	case json.Delim('['): // of what is unknown
		return r.list(nil)
	}
	return r.scalar(token)
}

// field finds a field of a message by either of its names, and gives the one that protojson writes.
func field(m protoreflect.MessageDescriptor, key string) (string, protoreflect.FieldDescriptor) {
	if m == nil || strings.HasPrefix(string(m.FullName()), "google.protobuf.") {
		return key, nil // the latter have a JSON of their own
	}
	fd := m.Fields().ByTextName(key)
	if fd == nil {
		fd = m.Fields().ByJSONName(key)
	}
	if fd == nil {
		return key, nil
	}
	return fd.JSONName(), fd
}

// object copies the rest of an object.
func (r *renamer) object(find func(key string) (string, protoreflect.FieldDescriptor)) error {
	r.out.WriteByte('{')
	for i := 0; r.in.More(); i++ {
		token, err := r.in.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string) // a decoder takes no other keys
		name, fd := find(key)
		if i > 0 {
			r.out.WriteByte(',')
		}
		if err := r.scalar(name); err != nil {
			return err
		}
		r.out.WriteByte(':')
		if err := r.field(fd); err != nil {
			return err
		}
	}
	return r.end('}')
}

// field copies the value of a field, of an unknown one where fd is nil.
func (r *renamer) field(fd protoreflect.FieldDescriptor) error {
	switch {
	case fd == nil:
		return r.value(nil)
	case fd.IsMap():
		return r.enter('{', func() error { return r.entries(fd.MapValue().Message()) })
	case dumped(fd) != nil:
		return r.any(dumped(fd))
	case fd.IsList():
		return r.enter('[', func() error { return r.list(fd.Message()) })
	}
	return r.value(fd.Message())
}

// enter takes the beginning of a map or list, for which there may be null.
func (r *renamer) enter(begin json.Delim, rest func() error) error {
	token, err := r.in.Token()
	if err != nil {
		return err
	}
	if token != begin {
		return r.scalar(token)
	}
	return rest()
}

// entries copies the rest of a map, whose keys are the user's.
func (r *renamer) entries(m protoreflect.MessageDescriptor) error {
	r.out.WriteByte('{')
	for i := 0; r.in.More(); i++ {
		key, err := r.in.Token()
		if err != nil {
			return err
		}
		if i > 0 {
			r.out.WriteByte(',')
		}
		if err := r.scalar(key); err != nil {
			return err
		}
		r.out.WriteByte(':')
		if err := r.value(m); err != nil {
			return err
		}
	}
	return r.end('}')
}

// list copies the rest of a list.
func (r *renamer) list(m protoreflect.MessageDescriptor) error {
	r.out.WriteByte('[')
	for i := 0; r.in.More(); i++ {
		if i > 0 {
			r.out.WriteByte(',')
		}
		if err := r.value(m); err != nil {
			return err
		}
	}
	return r.end(']')
}

// dumped gives the type of what a field of a dump holds, whether the Any there says so or not; nil for
// other fields.
func dumped(fd protoreflect.FieldDescriptor) protoreflect.MessageDescriptor {
	if fd.Message() == nil || fd.Message().FullName() != anyName || fd.ParentFile().Package() != "envoy.admin.v3" {
		return nil
	}
	var of proto.Message
	switch fd.Name() {
	case "cluster":
		of = &clusterv3.Cluster{}
	case "listener":
		of = &listenerv3.Listener{}
	case "route_config":
		of = &routev3.RouteConfiguration{}
	case "endpoint_config":
		of = &endpointv3.ClusterLoadAssignment{}
	case "secret":
		of = &tlsv3.Secret{}
	case "ecds_filter":
		of = &corev3.TypedExtensionConfig{}
	default:
		return nil
	}
	return of.ProtoReflect().Descriptor()
}

// any copies an Any. What is inside it tells by its type, which may come last; otherwise is the type of
// one that does not.
func (r *renamer) any(otherwise protoreflect.MessageDescriptor) error {
	var raw json.RawMessage
	if err := r.in.Decode(&raw); err != nil {
		return err
	}
	inner := newRenamer(raw)
	if err := inner.value(typeOf(raw, otherwise)); err != nil {
		return err
	}
	_, err := inner.out.WriteTo(&r.out)
	return err
}

// typeOf finds the type of the message in an Any, nil for an unknown one.
func typeOf(raw json.RawMessage, otherwise protoreflect.MessageDescriptor) protoreflect.MessageDescriptor {
	var of struct {
		Type string `json:"@type"`
	}
	// What is no object has no type, and is copied as it is.
	_ = json.Unmarshal(raw, &of)
	if of.Type == "" {
		return otherwise
	}
	known, err := protoregistry.GlobalTypes.FindMessageByURL(of.Type)
	if err != nil || known.Descriptor().FullName() == anyName {
		return nil
	}
	return known.Descriptor()
}

func (r *renamer) end(delim byte) error {
	if _, err := r.in.Token(); err != nil {
		return err
	}
	r.out.WriteByte(delim)
	return nil
}

func (r *renamer) scalar(token json.Token) error {
	if err := r.scalars.Encode(token); err != nil {
		return err
	}
	r.out.Truncate(r.out.Len() - 1) // the encoder ends a line
	return nil
}

// untyped leaves the type out of a message that was in an Any, where it comes first as Envoy and
// protojson write it.
func untyped(raw json.RawMessage) json.RawMessage {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields[anyType] == nil {
		return raw
	}
	head, _ := json.Marshal(anyType)
	rest, found := bytes.CutPrefix(raw, append(append([]byte("{"), head...), ':'))
	if !found {
		return raw
	}
	rest = bytes.TrimPrefix(rest, fields[anyType])
	return append(json.RawMessage("{"), bytes.TrimPrefix(rest, []byte(","))...)
}
