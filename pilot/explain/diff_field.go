package explain

import (
	"fmt"
	"iter"
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
		if topic, ok := topics[name]; ok && !strings.HasPrefix(path, ofHost) {
			at = topic
		} else if strings.HasPrefix(path, ofHost) {
			at = path
		} else if path != "" && name != "value" {
			at = path + "." + name
		} else if path != "" {
			at = path
		}
		switch {
		case topics[name] != "" && name != "virtual_hosts" || f.IsMap():
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
	others := elements(b, field)
	for key, m := range elements(a, field).all() {
		at := elementName(path, field, key.name)
		switch other := others.of[key]; {
		case other == nil:
			tell(at, "there", "")
		case !proto.Equal(m.Interface(), other.Interface()):
			compareMessages(m, other, at, tell)
		}
		delete(others.of, key)
	}
	for key := range others.all() {
		tell(elementName(path, field, key.name), "", "there")
	}
}

// element tells an element of a list from others: by its name, for what it is, and how many came before it of these.
type element struct {
	name, match string
	nth         int
}

type elementList struct {
	order []element
	of    map[element]protoreflect.Message
}

func elements(list protoreflect.List, field string) *elementList {
	out := &elementList{of: map[element]protoreflect.Message{}}
	for i := range list.Len() {
		m := list.Get(i).Message()
		e := element{name: fmt.Sprintf("%s[%d]", field, i)}
		if name := m.Descriptor().Fields().ByName("name"); name != nil && m.Get(name).String() != "" {
			e.name = m.Get(name).String()
		}
		if match := m.Descriptor().Fields().ByName("filter_chain_match"); match != nil {
			e.match = valueText(match, m)
		}
		for out.of[e] != nil {
			e.nth++
		}
		out.of[e], out.order = m, append(out.order, e)
	}
	return out
}

// all gives those that are there, in order.
func (l *elementList) all() iter.Seq2[element, protoreflect.Message] {
	return func(yield func(element, protoreflect.Message) bool) {
		for _, e := range l.order {
			if m := l.of[e]; m != nil && !yield(e, m) {
				return
			}
		}
	}
}

// ofHost begins what is told of a virtual host.
const ofHost = "host "

// elementName names an element of a list: a filter by its name alone.
func elementName(path, field, name string) string {
	switch field {
	case "http_filters", "filters", "listener_filters":
		return "filter " + strings.TrimPrefix(name, "envoy.filters.")
	case "virtual_hosts":
		host, port := splitPort(name)
		return ofHost + shortHost(host) + port
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

// valueMost is how long a value is in a document, but for those of which the words are compared, which are longer alone.
const valueMost, wordsMost = 2000, 20000

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
	most := valueMost
	if observes(topics[string(f.Name())]) {
		most = wordsMost
	}
	if len(text) > most {
		text = text[:most] + "…"
	}
	return text
}
