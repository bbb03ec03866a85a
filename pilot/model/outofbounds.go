package model

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"
)

// Faults gives what of a message, and of all that is in it, is out of its bounds.
func Faults(m proto.Message) []Fault {
	var out []Fault
	Walk("", m.ProtoReflect(), func(string, proto.Message) bool { return true }, func(f Fault) { out = append(out, f) })
	return out
}

// Walk goes through a message and all that is in it. It visits each message, and goes into those of which visit says so;
// there it tells which values are out of their bounds.
func Walk(path string, m protoreflect.Message, visit func(path string, m proto.Message) bool, fault func(Fault)) {
	walker{visit, fault}.message(path, m)
}

type walker struct {
	visit func(path string, m proto.Message) bool
	fault func(Fault)
}

func (w walker) message(path string, m protoreflect.Message) {
	if !w.visit(path, m.Interface()) {
		return
	}
	for i := range m.Descriptor().Fields().Len() {
		fd := m.Descriptor().Fields().Get(i)
		field := fd.JSONName()
		if path != "" {
			field = path + "." + field
		}
		v := m.Get(fd)
		switch {
		case !m.Has(fd):
			if !fd.HasPresence() && !fd.IsList() && !fd.IsMap() {
				w.value(field, fd, BoundOf(fd), v) // zero, which not every field may be
			}
		case fd.IsMap():
			v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
				w.value(field, fd.MapKey(), BoundOf(fd.MapKey()), k.Value())
				w.field(fmt.Sprintf("%s[%s]", field, k.String()), fd.MapValue(), v)
				return true
			})
		case fd.IsList():
			for i := range v.List().Len() {
				w.field(fmt.Sprintf("%s[%d]", field, i), fd, v.List().Get(i))
			}
		default:
			w.field(field, fd, v)
		}
	}
}

// field looks at one value of a field.
func (w walker) field(path string, fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	switch d := fd.Message(); {
	case d == nil || d.FullName() == duration:
		w.value(path, fd, BoundOf(fd), v)
	case d.FullName().Parent() != "google.protobuf":
		w.message(path, v.Message())
	case d.Fields().Len() == 1 && d.Fields().ByName("value") != nil: // a wrapper, whose bound is the field's own
		inner := d.Fields().ByName("value")
		w.value(path, inner, BoundOf(fd), v.Message().Get(inner))
	}
}

// value checks one value of fd's type against what Envoy takes in its field.
func (w walker) value(path string, fd protoreflect.FieldDescriptor, b Bound, v protoreflect.Value) {
	fail := func(format string, args ...any) { w.fault(Fault{path, fmt.Sprintf(format, args...)}) }
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if d, ok := v.Message().Interface().(*durationpb.Duration); ok {
			b.checkDuration(d, fail)
		}
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		b.checkNumber(v.Int(), fail)
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		b.checkNumber(int64(min(v.Uint(), math.MaxInt64)), fail)
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		b.checkFloat(v.Float(), fail)
	case protoreflect.EnumKind:
		if fd.Enum().Values().ByNumber(v.Enum()) == nil {
			fail("%d stands for nothing; use one of the names", v.Enum())
		}
	case protoreflect.StringKind:
		b.checkText(v.String(), fail)
	case protoreflect.BytesKind:
		b.checkLength(len(v.Bytes()), fail)
	}
}

// report takes the reason for which a value is refused.
type report func(format string, args ...any)

func (b Bound) checkDuration(d *durationpb.Duration, fail report) {
	v, ok := b.Duration(d)
	switch {
	case ok:
	case d.CheckValid() != nil:
		fail("is no duration; use for example 1.5s")
	case d.GetSeconds() < 0 || d.GetNanos() < 0 || v == 0 && d.GetSeconds() != 0 || int64(v) > b.Max:
		fail("%v is out of range; use %v to %v", d.AsDuration(), time.Duration(b.Min), time.Duration(b.Max))
	case int64(v) < b.Min:
		fail("%v is too short; use at least %v", v, time.Duration(b.Min))
	default:
		fail("%v is no whole number of %v; Envoy is told no more than that", v, b.Step)
	}
}

func (b Bound) checkNumber(n int64, fail report) {
	switch {
	case n >= b.Min && n <= b.Max:
	case b.Max == maxPort:
		fail("%d is no port; use %d to 65535", n, b.Min)
	case b.Max == 100:
		fail("%d is no percentage; use 0 to 100", n)
	case n < 0 && b.Min == 0:
		fail("%d is negative; use 0 or more", n)
	default:
		fail("%d is out of range; use %d to %d", n, b.Min, b.Max)
	}
}

// checkFloat takes numbers that are near enough to those which people write; Envoy computes with them.
func (b Bound) checkFloat(f float64, fail report) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		fail("%v is no number to compute with", f)
	case f >= float64(b.Min) && f <= float64(b.Max):
	case b.Max == 100:
		fail("%v is no percentage; use 0 to 100", f)
	default:
		fail("%v is out of range; use %d to %d", f, b.Min, b.Max)
	}
}

func (b Bound) checkText(s string, fail report) {
	b.checkLength(len(s), fail)
	if !utf8.ValidString(s) {
		fail("is not valid UTF-8")
	}
	control := func(r rune) bool {
		return r == 0x7f || r < ' ' && r != '\t' && !(b.Lines && (r == '\n' || r == '\r'))
	}
	if i := strings.IndexFunc(s, control); i >= 0 {
		fail("has the control character %q; remove it", s[i])
	}
}

func (b Bound) checkLength(n int, fail report) {
	if n > b.Bytes {
		fail("has %d bytes; use at most %d", n, b.Bytes)
	}
}
