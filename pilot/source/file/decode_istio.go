package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"google.golang.org/protobuf/encoding/protojson"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// istio reads an object of Istio, in which an unknown field is an error: a misspelt rule must
// not be half in effect.
func (d *decoder) istio(kind kinds.Istio, h *header, unknown []error, src *source) {
	key := model.Key{Kind: h.Kind, Namespace: namespaceOf(h), Name: h.Metadata.Name}
	if !d.named(key, src) {
		return
	}
	if len(unknown) > 0 {
		field := fieldOf(unknown[0])
		d.invalid(key, src, field, src.fieldLine(field), unknown[0].Error()+"; correct its spelling or remove it")
		return
	}
	msg := kind.Make()
	spec := h.Spec
	if len(spec) == 0 || string(spec) == "null" {
		spec = json.RawMessage("{}")
	}
	spec, err := model.SecondsJSON(spec, msg.ProtoReflect().Descriptor())
	if err == nil {
		err = protojson.Unmarshal(spec, msg)
	}
	if err != nil {
		field, line, text := explain(err, src)
		d.invalid(key, src, field, line, text)
		return
	}
	o := &model.Object{
		Key: key, Created: h.Metadata.CreationTimestamp.Time, Labels: h.Metadata.Labels, Annotations: h.Metadata.Annotations, Spec: msg,
	}
	found := d.unread(o, msg.ProtoReflect(), nil, "spec.")
	if o.Status, err = statusOf(key.Kind, h.Status); err != nil {
		found = append(found, model.Problem{
			Object: key, Field: "status", Severity: model.SeverityWarning, Reason: model.ReasonInvalid,
			Message: "does not parse and is not read: " + model.ProtoJSONError(err), Origin: model.Origin{File: d.name, Line: src.line},
		})
	}
	d.add(o, found, src)
}

// jsonPosition and unknownField match what protojson says in its errors.
var (
	jsonPosition = regexp.MustCompile(`\(line (\d+):\d+\)`)
	unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)
)

// explain turns an error of protojson in an object's spec into field, line of the file, and text.
func explain(err error, src *source) (field string, line int, text string) {
	if wrong := (*model.DurationError)(nil); errors.As(err, &wrong) {
		field = "spec." + wrong.Field
		return field, src.fieldLine(field), wrong.Reason()
	}
	line, text = src.line, model.ProtoJSONError(err)
	spec := lookup(src.root(), "spec")
	m := jsonPosition.FindStringSubmatch(err.Error())
	if m == nil || spec == nil {
		return "spec", line, text
	}
	n, convErr := strconv.Atoi(m[1])
	if convErr != nil {
		return "spec", line, text
	}
	// The spec's JSON begins on the line of its value, and its lines are those of the YAML.
	at := spec.Line + n - 1
	name := ""
	if u := unknownField.FindStringSubmatch(text); u != nil {
		name = u[1]
		text = fmt.Sprintf("unknown field %q; correct its spelling or remove it", name)
	}
	return pathAt(src.root(), at, name), src.doc.base + at - 1, text
}
