package model

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"
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
// bytes stay as they are, and so do their lines.
func SecondsJSON(text []byte, message protoreflect.MessageDescriptor) ([]byte, error) {
	w := &secondsWriter{in: text, dec: json.NewDecoder(bytes.NewReader(text))}
	w.dec.UseNumber() // a number's form is not ours to judge
	if err := w.value(jsonType{message: message}, ""); err != nil {
		return nil, err
	}
	w.out.Write(text[w.copied:])
	return w.out.Bytes(), nil
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
	in     []byte
	dec    *json.Decoder
	out    bytes.Buffer
	copied int // of in, bytes
}

// value copies one value. A repeated field has the type of its items.
func (w *secondsWriter) value(t jsonType, path string) error {
	start := int(w.dec.InputOffset())
	token, err := w.dec.Token()
	if err != nil {
		return err
	}
	isDuration := t.message != nil && t.message.FullName() == duration
	switch token {
	case json.Delim('['):
		for i := 0; w.dec.More(); i++ {
			if err := w.value(t, path+"["+strconv.Itoa(i)+"]"); err != nil {
				return err
			}
		}
		_, err = w.dec.Token()
		return err
	case json.Delim('{'):
		if isDuration {
			return &DurationError{Field: path, Value: "an object"}
		}
		return w.object(t, path)
	}
	if !isDuration || token == nil {
		return nil
	}
	end := int(w.dec.InputOffset())
	start += len(w.in[start:end]) - len(bytes.TrimLeft(w.in[start:end], " \t\r\n:,"))
	return w.duration(start, end, token, path)
}

func (w *secondsWriter) object(t jsonType, path string) error {
	for w.dec.More() {
		token, err := w.dec.Token()
		if err != nil {
			return err
		}
		name, _ := token.(string)
		if err := w.value(t.field(name), strings.TrimPrefix(path+"."+name, ".")); err != nil {
			return err
		}
	}
	_, err := w.dec.Token()
	return err
}

// duration writes the token at [start, end) in seconds.
func (w *secondsWriter) duration(start, end int, token json.Token, path string) error {
	text, ok := token.(string)
	d, err := time.ParseDuration(text)
	if !ok || err != nil {
		return &DurationError{Field: path, Value: string(w.in[start:end])}
	}
	w.out.Write(w.in[w.copied:start])
	w.copied = end
	sign := ""
	if d < 0 {
		sign = "-"
	}
	// Digits of d itself: as a floating-point number it would lose nanoseconds.
	fmt.Fprintf(&w.out, `"%s%d.%09ds"`, sign, int64((d / time.Second).Abs()), int64((d % time.Second).Abs()))
	return nil
}
