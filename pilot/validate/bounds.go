package validate

import (
	"math"
	"strings"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// bound checks one value against what Envoy takes in its field.
func (c *checker) bound(path string, fd protoreflect.FieldDescriptor, v protoreflect.Value) {
	c.scalar(path, fd, model.BoundOf(fd), v)
}

// scalar checks one value of fd's type.
func (c *checker) scalar(path string, fd protoreflect.FieldDescriptor, b model.Bound, v protoreflect.Value) {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		if d, ok := v.Message().Interface().(*durationpb.Duration); ok {
			c.duration(path, b, d)
		}
	case protoreflect.Int32Kind, protoreflect.Int64Kind, protoreflect.Sint32Kind, protoreflect.Sint64Kind:
		c.number(path, b, v.Int())
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind:
		c.number(path, b, int64(min(v.Uint(), math.MaxInt64)))
	case protoreflect.FloatKind, protoreflect.DoubleKind:
		c.float(path, b, v.Float())
	case protoreflect.EnumKind:
		if fd.Enum().Values().ByNumber(v.Enum()) == nil {
			c.fail(path, "%d stands for nothing; use one of the names", v.Enum())
		}
	case protoreflect.StringKind:
		c.text(path, b, v.String())
	case protoreflect.BytesKind:
		c.length(path, b, len(v.Bytes()))
	}
}

func (c *checker) duration(path string, b model.Bound, d *durationpb.Duration) {
	v, ok := b.Duration(d)
	switch {
	case ok:
	case d.CheckValid() != nil:
		c.fail(path, "is no duration; use for example 1.5s")
	case d.GetSeconds() < 0 || d.GetNanos() < 0 || v == 0 && d.GetSeconds() != 0 || int64(v) > b.Max:
		c.fail(path, "%v is out of range; use %v to %v", d.AsDuration(), time.Duration(b.Min), time.Duration(b.Max))
	case int64(v) < b.Min:
		c.fail(path, "%v is too short; use at least %v", v, time.Duration(b.Min))
	default:
		c.fail(path, "%v is no whole number of %v; Envoy is told no more than that", v, b.Step)
	}
}

func (c *checker) number(path string, b model.Bound, n int64) {
	switch {
	case n >= b.Min && n <= b.Max:
	case b.Max == 65535:
		c.fail(path, "%d is no port; use %d to 65535", n, b.Min)
	case b.Max == 100:
		c.fail(path, "%d is no percentage; use 0 to 100", n)
	case n < 0 && b.Min == 0:
		c.fail(path, "%d is negative; use 0 or more", n)
	default:
		c.fail(path, "%d is out of range; use %d to %d", n, b.Min, b.Max)
	}
}

// float takes numbers that are near enough to those which people write; Envoy computes with them.
func (c *checker) float(path string, b model.Bound, f float64) {
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		c.fail(path, "%v is no number to compute with", f)
	case f >= float64(b.Min) && f <= float64(b.Max):
	case b.Max == 100:
		c.fail(path, "%v is no percentage; use 0 to 100", f)
	default:
		c.fail(path, "%v is out of range; use %d to %d", f, b.Min, b.Max)
	}
}

func (c *checker) text(path string, b model.Bound, s string) {
	c.length(path, b, len(s))
	if !utf8.ValidString(s) {
		c.fail(path, "is not valid UTF-8")
	}
	control := func(r rune) bool {
		return r == 0x7f || r < ' ' && r != '\t' && !(b.Lines && (r == '\n' || r == '\r'))
	}
	if i := strings.IndexFunc(s, control); i >= 0 {
		c.fail(path, "has the control character %q; remove it", s[i])
	}
}

func (c *checker) length(path string, b model.Bound, n int) {
	if n > b.Bytes {
		c.fail(path, "has %d bytes; use at most %d", n, b.Bytes)
	}
}
