package file

import (
	"bytes"
	"encoding/json"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// wrongMost bounds how much is told that the schema of one object does not have.
const wrongMost = 50

// wrong reports all that is wrong with an object of Istio whose spec does not decode, so that nobody has to correct it in
// rounds: what its schema does not have, and of the rest what makes no sense.
func (d *decoder) wrong(key model.Key, kind kinds.Istio, h *header, spec []byte, src *source) {
	d.refuse(key, src, nil, nil)
	var fields []string
	for range wrongMost {
		msg := kind.Make()
		text, err := parseSpec(spec, msg)
		if err == nil {
			d.meaning(&model.Object{Key: key, Labels: h.Metadata.Labels, Annotations: h.Metadata.Annotations, Spec: msg}, fields, src)
			return
		}
		field, line, what := explain(err, text, src)
		d.problem(key, field, line, model.SeverityError, model.ReasonInvalid, advised(what, field, msg.ProtoReflect().Descriptor()))
		left, at, ok := without(spec, field)
		if !ok {
			return
		}
		spec, fields = left, append(fields, at)
	}
}

// parseSpec reads the JSON of a spec, and gives it as it was read.
func parseSpec(spec []byte, into proto.Message) ([]byte, error) {
	text, err := model.SecondsJSON(spec, into.ProtoReflect().Descriptor())
	if err == nil {
		err = protojson.Unmarshal(text, into)
	}
	return text, err
}

// meaning reports what makes no sense of an object of which some fields are left out, and does not follow from that.
func (d *decoder) meaning(o *model.Object, leftOut []string, src *source) {
	if d.check == nil {
		return
	}
	o.Origin = model.Origin{File: d.name, Line: src.line}
	for _, p := range d.check(o) {
		if slices.ContainsFunc(leftOut, func(field string) bool { return follows(p, field) }) {
			continue
		}
		p.Origin.Line = src.fieldLine(p.Field)
		d.out.problems = append(d.out.problems, p)
	}
}

// follows tells whether a problem may come of it that a field was left out: it is in the field, of what the field stands
// in, or of another field there that is missing, whose name may be what was meant.
func follows(p model.Problem, field string) bool {
	within := outer(field)
	return p.Field == within || p.Field == field || strings.HasPrefix(p.Field, field+".") || strings.HasPrefix(p.Field, field+"[") ||
		outer(p.Field) == within && strings.HasPrefix(p.Message, "is missing")
}

// outer gives the path of what a field or an item stands in.
func outer(path string) string { return path[:max(0, strings.LastIndexAny(path, ".["))] }

// without leaves a field out of a spec, and tells which: of an item that is no object, the list. A field is named from
// "spec" on.
func without(spec []byte, field string) (left []byte, at string, ok bool) {
	dec := json.NewDecoder(bytes.NewReader(spec))
	dec.UseNumber()
	var root any
	path, inSpec := strings.CutPrefix(field, "spec.")
	if dec.Decode(&root) != nil || !inSpec {
		return nil, "", false
	}
	steps := strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
	node, list := root, ""
	for i, step := range steps {
		last := i == len(steps)-1
		switch n := node.(type) {
		case map[string]any:
			if last {
				delete(n, step)
			}
			node = n[step]
		case []any:
			at, err := strconv.Atoi(step)
			if err != nil || at >= len(n) {
				return nil, "", false
			}
			if _, object := n[at].(map[string]any); last && !object {
				list = outer(field)
			} else if last {
				n[at] = map[string]any{}
			}
			node = n[at]
		default:
			return nil, "", false
		}
	}
	if list != "" {
		return without(spec, list)
	}
	left, err := json.Marshal(root)
	return left, field, err == nil
}
