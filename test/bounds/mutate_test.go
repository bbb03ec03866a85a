package bounds

import (
	"fmt"
	"math"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// mutation is a message with one field that has another value.
type mutation struct {
	field string // path and value, for people
	spec  any    // a message, or an object of Kubernetes
}

// mutator gives, for each field of a message and of all that may be in it, the message with
// extreme values there. What is not set is made on the way, so every field has its turn.
type mutator struct {
	root  proto.Message
	found func(mutation)
	path  []string
	// reach leads from a copy of the root to the message whose fields have their turn.
	reach func(root protoreflect.Message) protoreflect.Message
	above map[protoreflect.FullName]bool
	// done are the fields that had their turn, by the field that holds their message. One that the
	// root sets has its turn wherever it is set, as others may depend on it there.
	done map[string]bool
	// share is how many fields of texts share the list of them among themselves, each taking a part in
	// its turn; with 1 each takes all.
	share, turn int
}

// mutations calls found with every mutation of a message, of texts with one in share.
func mutations(root proto.Message, share int, found func(mutation)) {
	m := &mutator{
		root: root, found: found, share: share, above: map[protoreflect.FullName]bool{}, done: map[string]bool{},
		reach: func(m protoreflect.Message) protoreflect.Message { return m },
	}
	m.message(root.ProtoReflect().Descriptor())
}

// message takes the fields of the message that is reached.
func (m *mutator) message(d protoreflect.MessageDescriptor) {
	if m.above[d.FullName()] {
		return
	}
	m.above[d.FullName()] = true
	defer delete(m.above, d.FullName())
	holder := ""
	if n := len(m.path); n > 0 {
		holder = m.path[n-1]
	}
	original := m.reach(proto.Clone(m.root).ProtoReflect())
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		key := holder + " " + string(fd.FullName())
		if !m.done[key] || original.Has(fd) {
			m.done[key] = true
			m.turn++
			m.fields(fd)
		}
	}
}

func (m *mutator) fields(fd protoreflect.FieldDescriptor) {
	switch {
	case fd.IsMap():
		m.entries(fd)
	case fd.IsList():
		m.items(fd)
	default:
		m.inside(fd, func(parent protoreflect.Message) protoreflect.Value { return parent.Mutable(fd) })
		for _, v := range m.extremes(fd) {
			m.set(fd, v, func(parent protoreflect.Message) { parent.Set(fd, v) })
		}
	}
}

// items changes each item that is there, and the list to one of an item alone.
func (m *mutator) items(fd protoreflect.FieldDescriptor) {
	present := m.reach(proto.Clone(m.root).ProtoReflect()).Get(fd).List().Len()
	for i := range max(present, 1) {
		m.inside(fd, func(parent protoreflect.Message) protoreflect.Value {
			list := parent.Mutable(fd).List()
			for list.Len() <= i {
				list.Append(list.NewElement())
			}
			return list.Get(i)
		})
	}
	for _, v := range m.extremes(fd) {
		m.set(fd, v, func(parent protoreflect.Message) {
			list := parent.Mutable(fd).List()
			list.Truncate(0)
			list.Append(v)
		})
		m.set(fd, v, func(parent protoreflect.Message) { parent.Mutable(fd).List().Append(v) })
	}
}

func (m *mutator) entries(fd protoreflect.FieldDescriptor) {
	plain := protoreflect.ValueOfString("a").MapKey()
	if fd.MapKey().Kind() != protoreflect.StringKind {
		plain = protoreflect.ValueOfUint32(80).MapKey()
	}
	m.inside(fd, func(parent protoreflect.Message) protoreflect.Value {
		return parent.Mutable(fd).Map().Mutable(plain)
	})
	for _, key := range m.extremes(fd.MapKey()) {
		m.set(fd.MapKey(), key, func(parent protoreflect.Message) {
			entries := parent.Mutable(fd).Map()
			entries.Set(key.MapKey(), usual(fd.MapValue(), entries.NewValue()))
		})
	}
	for _, v := range m.extremes(fd.MapValue()) {
		m.set(fd, v, func(parent protoreflect.Message) { parent.Mutable(fd).Map().Set(plain, v) })
	}
}

// usual gives a value of a map that is nothing special.
func usual(fd protoreflect.FieldDescriptor, empty protoreflect.Value) protoreflect.Value {
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("v1")
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(100)
	}
	return empty
}

// inside goes down into a message, which get reaches from its parent.
func (m *mutator) inside(fd protoreflect.FieldDescriptor, get func(parent protoreflect.Message) protoreflect.Value) {
	d := fd.Message()
	if fd.IsMap() {
		d = fd.MapValue().Message()
	}
	if d == nil || d.FullName() == "google.protobuf.Duration" {
		return
	}
	reach, path := m.reach, m.path
	m.reach = func(root protoreflect.Message) protoreflect.Message { return get(reach(root)).Message() }
	m.path = append(path[:len(path):len(path)], string(fd.Name()))
	m.message(d)
	m.reach, m.path = reach, path
}

func (m *mutator) set(fd protoreflect.FieldDescriptor, v protoreflect.Value, change func(parent protoreflect.Message)) {
	copied := proto.Clone(m.root)
	change(m.reach(copied.ProtoReflect()))
	value := v.Interface()
	if message, ok := value.(protoreflect.Message); ok {
		value = message.Interface()
	}
	text := fmt.Sprintf("%q", fmt.Sprint(value))
	if len(text) > 60 {
		text = fmt.Sprintf("%s… (%d letters)", text[:40], len(text))
	}
	if fd.IsMap() {
		fd = fd.MapValue()
	}
	m.found(mutation{
		field: fmt.Sprintf("%s.%s = %s", strings.Join(m.path, "."), fd.Name(), text), spec: copied,
	})
}

// extremes are values at, and beyond, the edges of a field's type.
func (m *mutator) extremes(fd protoreflect.FieldDescriptor) []protoreflect.Value {
	var out []protoreflect.Value
	switch fd.Kind() {
	case protoreflect.BoolKind:
		return []protoreflect.Value{protoreflect.ValueOfBool(false), protoreflect.ValueOfBool(true)}
	case protoreflect.EnumKind:
		for i := range fd.Enum().Values().Len() {
			out = append(out, protoreflect.ValueOfEnum(fd.Enum().Values().Get(i).Number()))
		}
		return append(out, protoreflect.ValueOfEnum(-1), protoreflect.ValueOfEnum(math.MaxInt32))
	case protoreflect.StringKind:
		for _, s := range m.texts() {
			out = append(out, protoreflect.ValueOfString(s))
		}
	case protoreflect.BytesKind:
		for _, s := range m.texts() {
			out = append(out, protoreflect.ValueOfBytes([]byte(s)))
		}
	case protoreflect.DoubleKind:
		for _, f := range []float64{0, -1, 1, 100, 1e-300, math.MaxFloat64, math.NaN(), math.Inf(1), math.Inf(-1)} {
			out = append(out, protoreflect.ValueOfFloat64(f))
		}
	case protoreflect.MessageKind:
		if fd.Message().FullName() == "google.protobuf.Duration" {
			return durations()
		}
	default:
		return integers(fd.Kind())
	}
	return out
}

func durations() []protoreflect.Value {
	var out []protoreflect.Value
	for _, d := range []*durationpb.Duration{
		{},
		{Nanos: 1},
		{Nanos: 1_000_000},
		{Seconds: 32768},
		{Seconds: 365 * 24 * 3600},
		{Seconds: 365*24*3600 + 1},
		{Seconds: 9223372036},
		{Seconds: 9223372037},
		{Seconds: 315_576_000_000},
		{Seconds: math.MaxInt64},
		{Seconds: -1},
		{Nanos: 2_000_000_000},
		{Seconds: 1, Nanos: -1},
	} {
		out = append(out, protoreflect.ValueOfMessage(d.ProtoReflect()))
	}
	return out
}

func integers(kind protoreflect.Kind) []protoreflect.Value {
	var out []protoreflect.Value
	for _, n := range []int64{
		0, 1, 100, 101, 599, 65535, 65536, 5000011, 8 << 20, 8<<20 + 1, math.MaxInt32, math.MaxUint32, math.MaxInt64, -1, math.MinInt64,
	} {
		switch kind {
		case protoreflect.Int32Kind:
			if n == int64(int32(n)) {
				out = append(out, protoreflect.ValueOfInt32(int32(n)))
			}
		case protoreflect.Uint32Kind:
			if n == int64(uint32(n)) {
				out = append(out, protoreflect.ValueOfUint32(uint32(n)))
			}
		case protoreflect.Int64Kind:
			out = append(out, protoreflect.ValueOfInt64(n))
		case protoreflect.Uint64Kind:
			out = append(out, protoreflect.ValueOfUint64(uint64(n)))
		}
	}
	return out
}

// texts gives the part of the texts whose turn it is.
func (m *mutator) texts() []string {
	var out []string
	for i, s := range texts() {
		if (i+m.turn)%m.share == 0 {
			out = append(out, s)
		}
	}
	return out
}

// texts are what nobody expects in a field, and what is right in one field and wrong in another.
func texts() []string {
	return []string{
		"", "a", "a\x00b", "\xff\xfe", "a\r\nb: c", "\x1b[2J", "é", "a b", "%", "%REQ(X)%", "%START_TIME(%s)%", "*", "*.a", "a.b", "/", "/a", "~/*", "a/b",
		"unix:///tmp/x", ":path", "127.0.0.1", "127.0.0.1:+80", "10.0.0.1/33", "1.2.3.4/8", "::/0", "fe80::1%eth0", ".*", "(", `\C`, `(\pL{500}){2}`, `(?i)[acegikmoqsuwy]{500}`, `\p{Letter}`, `\x{100}`, `\1`, "a?b#c", "https", "TCP",
		"503", "600", "5xx,", "spiffe://a/b", "/nowhere/at/all.log", "/tmp", `{"a": 1}`, "@request.auth.claims.a",
		strings.Repeat("a", 64), strings.Repeat("a", 256), strings.Repeat("a.", 126) + "a", "/" + strings.Repeat("a", 5000), strings.Repeat("a", 16<<10), strings.Repeat("a", 1<<20),
	}
}
