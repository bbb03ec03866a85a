package explain

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/anypb"
)

// fieldsOf gives the fields in which two messages of a type differ, with their values. A field is named as users know
// what it is about, where they do, else by its name; what the control plane notes of origins is left out.
func fieldsOf(a, b proto.Message) []Difference {
	var out []Difference
	compareMessages(a.ProtoReflect(), b.ProtoReflect(), "", func(path string, x, y string) {
		out = append(out, Difference{path, x, y})
	})
	return out
}

// topics are fields of Envoy by what they are about.
var topics = map[string]string{
	"access_log": "access logs", "tracing": "tracing", "lb_policy": "load balancing", "load_balancing_policy": "load balancing",
	"common_lb_config": "load balancing", "outlier_detection": "outlier detection", "circuit_breakers": "connection pool",
	"transport_socket": "TLS", "transport_socket_matches": "TLS", "connect_timeout": "connect timeout", "route_config": "routes",
	"virtual_hosts": "routes", "routes": "routes", "load_assignment": "servers", "endpoints": "servers",
	"filter_chain_match": "what it takes", "typed_extension_protocol_options": "options of HTTP", "metadata": "metadata",
	"upstream_connection_options": "TCP keepalive",
}

// compareMessages tells of each field that differs.
func compareMessages(a, b protoreflect.Message, path string, tell func(path, x, y string)) {
	if a.Descriptor().FullName() == "google.protobuf.Any" {
		x, y := unpacked(a), unpacked(b)
		if x != nil && y != nil && x.Descriptor() == y.Descriptor() {
			compareMessages(x, y, path, tell)
			return
		}
	}
	fields := a.Descriptor().Fields()
	told := false
	for i := range fields.Len() {
		f := fields.Get(i)
		x, y := a.Get(f), b.Get(f)
		if a.Has(f) == b.Has(f) && x.Equal(y) {
			continue
		}
		told = true
		name := string(f.Name())
		at := name
		if topic, ok := topics[name]; ok {
			at = topic
		} else if path != "" && name != "value" {
			at = path + "." + name
		} else if path != "" {
			at = path
		}
		switch {
		case topics[name] != "" || f.IsMap():
			tell(at, valueText(f, a), valueText(f, b))
		case f.IsList() && f.Message() != nil:
			compareLists(x.List(), y.List(), path, name, tell)
		case f.Message() != nil && !f.IsList() && a.Has(f) && b.Has(f):
			compareMessages(x.Message(), y.Message(), at, tell)
		default:
			tell(at, valueText(f, a), valueText(f, b))
		}
	}
	if !told && !proto.Equal(a.Interface(), b.Interface()) {
		tell(path, "", "")
	}
}

// compareLists pairs the elements of lists by their names, else by their places.
func compareLists(a, b protoreflect.List, path, field string, tell func(path, x, y string)) {
	key := func(m protoreflect.Message, i int) string {
		if name := m.Descriptor().Fields().ByName("name"); name != nil && m.Get(name).String() != "" {
			return m.Get(name).String()
		}
		return fmt.Sprintf("%s[%d]", field, i)
	}
	others := map[string]protoreflect.Message{}
	for i := range b.Len() {
		others[key(b.Get(i).Message(), i)] = b.Get(i).Message()
	}
	seen := map[string]bool{}
	for i := range a.Len() {
		name := key(a.Get(i).Message(), i)
		seen[name] = true
		at := elementName(path, field, name)
		switch other := others[name]; {
		case other == nil:
			tell(at, "there", "")
		case !proto.Equal(a.Get(i).Message().Interface(), other.Interface()):
			compareMessages(a.Get(i).Message(), other, at, tell)
		}
	}
	for i := range b.Len() {
		if name := key(b.Get(i).Message(), i); !seen[name] {
			seen[name] = true
			tell(elementName(path, field, name), "", "there")
		}
	}
}

// elementName names an element of a list: a filter by its name alone.
func elementName(path, field, name string) string {
	switch field {
	case "http_filters", "filters", "listener_filters":
		return "filter " + strings.TrimPrefix(name, "envoy.filters.")
	case "filter_chains":
		return "chain " + name
	}
	if path == "" {
		return name
	}
	return path + "." + name
}

func unpacked(m protoreflect.Message) protoreflect.Message {
	packed, ok := m.Interface().(*anypb.Any)
	if !ok {
		return nil
	}
	out, err := packed.UnmarshalNew()
	if err != nil {
		return nil
	}
	return out.ProtoReflect()
}

// valueMost is how long a value is in a document.
const valueMost = 2000

// valueText gives the value of a field as JSON; empty for none.
func valueText(f protoreflect.FieldDescriptor, m protoreflect.Message) string {
	if !m.Has(f) {
		return ""
	}
	only := m.New()
	only.Set(f, m.Get(f))
	data, err := protojson.Marshal(only.Interface())
	if err != nil {
		return err.Error()
	}
	text := strings.ReplaceAll(string(data), `": `, `":`) // protojson varies its spaces
	if len(text) > valueMost {
		text = text[:valueMost] + "…"
	}
	return text
}
