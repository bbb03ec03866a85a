package model

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pilothouse-mesh/pilothouse/pilot/jsontext"
)

// DurationError is a duration that cannot be read.
type DurationError struct {
	Field string // path from the message, e.g. "http[0].timeout"
	Value string // the JSON that stands there
}

// Error gives the field and what is wrong with it.
func (e *DurationError) Error() string { return e.Field + ": " + e.Reason() }

// Reason says what is wrong, without the field.
func (e *DurationError) Reason() string {
	return fmt.Sprintf(`%s is no duration; write a number and a unit (h, m, s, ms, us, ns), such as 5s, 250ms or 1h30m`, e.Value)
}

// SecondsJSON gives the JSON of a message with its durations in seconds, the one form that
// protojson reads. Istio's manifests may have any that Go reads: 30ms, 5m, 1h30m. All other
// bytes stay as they are, and so do their lines. A text that is no JSON stays none.
func SecondsJSON(text []byte, message protoreflect.MessageDescriptor) ([]byte, error) {
	w := &secondsWriter{in: jsontext.Reader{Text: text}}
	if err := w.value(jsonType{message: message}, nil); err != nil {
		return nil, err
	}
	if w.copied == 0 {
		return text, nil
	}
	return append(w.out, text[w.copied:]...), nil
}

// jsonType is what a JSON value stands for. Neither field set is a value in which there are no
// durations.
type jsonType struct {
	message protoreflect.MessageDescriptor
	entries protoreflect.FieldDescriptor // the type of a map's values
}

const duration protoreflect.FullName = "google.protobuf.Duration"

func typeOf(fd protoreflect.FieldDescriptor) jsonType {
	switch {
	case fd == nil:
		return jsonType{}
	case fd.IsMap():
		return jsonType{entries: fd.MapValue()}
	case fd.Message() != nil && fd.Message().FullName() != duration && fd.Message().FullName().Parent() == duration.Parent():
		return jsonType{} // Struct, Any and wrappers have a JSON of their own
	}
	return jsonType{message: fd.Message()}
}

func (t jsonType) field(name string) jsonType {
	if t.entries != nil {
		return typeOf(t.entries)
	}
	if t.message == nil {
		return jsonType{}
	}
	if fd := t.message.Fields().ByJSONName(name); fd != nil {
		return typeOf(fd)
	}
	return typeOf(t.message.Fields().ByTextName(name))
}

// secondsWriter copies JSON up to each duration.
type secondsWriter struct {
	in     jsontext.Reader
	out    []byte
	copied int // of in, bytes
}

// place is where a value stands: under a name of an object, or in a list.
type place struct {
	in    *place
	list  bool
	index int    // in a list
	name  string // in an object
}

func (p *place) path() string {
	switch {
	case p == nil:
		return ""
	case p.list:
		return p.in.path() + "[" + strconv.Itoa(p.index) + "]"
	}
	return strings.TrimPrefix(p.in.path()+"."+p.name, ".")
}

// value copies one value. A repeated field has the type of its items, and no list in it.
func (w *secondsWriter) value(t jsonType, at *place) error {
	isDuration := t.message != nil && t.message.FullName() == duration
	switch c := w.in.Next(); {
	case t == jsonType{}:
		w.in.Value()
	case c == '[':
		return w.list(t, at)
	case c == '{' && isDuration:
		return &DurationError{Field: at.path(), Value: "an object"}
	case c == '{':
		return w.object(t, at)
	case isDuration:
		return w.duration(at)
	default:
		w.in.Value()
	}
	return nil
}

func (w *secondsWriter) list(t jsonType, at *place) error {
	w.in.Open()
	for i := 0; w.in.More(); i++ {
		if w.in.Next() == '[' {
			w.in.Value()
		} else if err := w.value(t, &place{in: at, list: true, index: i}); err != nil {
			return err
		}
	}
	return nil
}

func (w *secondsWriter) object(t jsonType, at *place) error {
	w.in.Open()
	for w.in.More() {
		name, ok := w.in.String()
		if !ok {
			return errors.New("has a name that is no text")
		}
		if err := w.value(t.field(name), &place{in: at, name: name}); err != nil {
			return err
		}
	}
	return nil
}

// duration writes the next value in seconds.
func (w *secondsWriter) duration(at *place) error {
	value := w.in.Value()
	if string(value) == "null" {
		return nil
	}
	start := w.in.Pos - len(value)
	text, ok := (&jsontext.Reader{Text: value}).String()
	d, err := time.ParseDuration(text)
	if !ok || err != nil {
		return &DurationError{Field: at.path(), Value: string(value)}
	}
	w.out = append(w.out, w.in.Text[w.copied:start]...)
	w.copied = w.in.Pos
	sign := ""
	if d < 0 {
		sign = "-"
	}
	// Digits of d itself: as a floating-point number it would lose nanoseconds.
	w.out = fmt.Appendf(w.out, `"%s%d.%09ds"`, sign, int64((d / time.Second).Abs()), int64((d % time.Second).Abs()))
	return nil
}
