package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// istio reads an object of Istio, in which an unknown field is an error: a misspelt rule must
// not be half in effect.
func (d *decoder) istio(kind kinds.Istio, h *header, unknown []error, src *source) {
	key := model.Key{Kind: h.Kind, Namespace: d.inNamespace(h.Metadata.Namespace), Name: h.Metadata.Name}
	if !d.named(key, src) {
		return
	}
	for _, u := range unknown {
		field := fieldOf(u)
		d.problem(key, field, src.fieldLine(field), model.SeverityError, model.ReasonInvalid, u.Error()+"; correct its spelling or remove it")
	}
	empty := len(h.Spec) == 0 || string(h.Spec) == "null"
	if len(unknown) > 0 && empty { // it may be what was meant
		d.refuse(key, src, nil, nil)
		return
	}
	msg := kind.Make()
	spec := h.Spec
	if empty {
		spec = json.RawMessage("{}")
	}
	_, err := parseSpec(spec, msg)
	if err != nil || len(unknown) > 0 {
		d.wrong(key, kind, h, spec, src)
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
	jsonPosition = regexp.MustCompile(`\(line (\d+):(\d+)\)`)
	unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)
)

// explain turns an error of protojson in the JSON of an object's spec into field, line of the file, and text.
func explain(err error, spec []byte, src *source) (field string, line int, text string) {
	if wrong := (*model.DurationError)(nil); errors.As(err, &wrong) {
		field = "spec." + wrong.Field
		return field, src.fieldLine(field), wrong.Reason()
	}
	text = model.ProtoJSONError(err)
	if u := unknownField.FindStringSubmatch(text); u != nil {
		text = fmt.Sprintf("unknown field %q; correct its spelling or remove it", u[1])
	}
	field = "spec"
	if m := jsonPosition.FindStringSubmatch(err.Error()); m != nil {
		row, _ := strconv.Atoi(m[1]) // digits; what overflows is found nowhere
		column, _ := strconv.Atoi(m[2])
		field += pathAt(spec, row, column)
	}
	return field, src.fieldLine(field), text
}
