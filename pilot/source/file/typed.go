package file

import (
	"encoding"
	"encoding/json"
	"hash/maphash"
	"reflect"
	"slices"
	"strconv"
	"strings"

	kjson "sigs.k8s.io/json"

	"github.com/pilothouse-mesh/pilothouse/pilot/jsontext"
)

// typedReader reads what the writer wrote into types of Kubernetes. It knows what nearly all objects have. What it
// does not know it leaves to the strict decoder, so unknown fields and values of a wrong type. For what it knows it gives
// what that would, in a fraction of the time. Nothing stands twice in an object, since the writer refuses that.
type typedReader struct {
	in      jsontext.Reader
	layouts map[reflect.Type]*layout
	recent  recentTexts
}

// layout tells how a type is read.
type layout struct {
	of     reflect.Type
	kind   reflect.Kind      // the type's own, or Invalid for one that the strict decoder reads
	item   *layout           // of a pointer, list or map
	fields map[string]*field // of a struct, also those of structs embedded there
}

// field is a field of a struct. Its layout is made when an object has it.
type field struct {
	index  []int
	of     reflect.Type
	layout *layout
}

// unmarshalStrict reads an object that is empty at first, as kjson.UnmarshalStrict does.
func unmarshalStrict[T any](r *typedReader, text []byte, empty func() T) (into T, strict []error, err error) {
	into = empty()
	if r.read(text, into) {
		return into, nil, nil
	}
	into = empty()
	strict, err = kjson.UnmarshalStrict(text, into)
	return into, strict, err
}

// read reads a text into what a pointer points to. Where it cannot, part of it may be there.
func (r *typedReader) read(text []byte, into any) bool {
	r.in = jsontext.Reader{Text: text}
	v := reflect.ValueOf(into).Elem()
	return r.value(r.layout(v.Type()), v) && r.in.Next() == 0
}

func (r *typedReader) layout(t reflect.Type) *layout {
	if f, ok := r.layouts[t]; ok {
		return f
	}
	if r.layouts == nil {
		r.layouts = map[reflect.Type]*layout{}
	}
	f := &layout{of: t}
	r.layouts[t] = f
	switch t.Kind() {
	case reflect.Struct:
		f.fields = map[string]*field{}
		if readsItself(t) || !addFields(f.fields, t, nil) {
			return f
		}
	case reflect.Map:
		if readsItself(t) || readsItself(t.Key()) || t.Key().Kind() != reflect.String {
			return f
		}
		f.item = r.layout(t.Elem())
	case reflect.Slice:
		if readsItself(t) || t.Elem().Kind() == reflect.Uint8 { // bytes are text
			return f
		}
		f.item = r.layout(t.Elem())
	case reflect.Pointer:
		f.item = r.layout(t.Elem())
	case reflect.String, reflect.Bool, reflect.Int32, reflect.Int64:
		if readsItself(t) {
			return f
		}
	default:
		return f
	}
	f.kind = t.Kind()
	return f
}

// readsItself tells whether a type has a JSON of its own.
func readsItself(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// addFields adds the fields of a struct that stands at a place of another, and tells whether that is all that its JSON
// takes.
func addFields(to map[string]*field, t reflect.Type, at []int) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		index := append(slices.Clone(at), i)
		switch {
		case strings.Contains(options, "string"):
			return false
		case f.Anonymous && name == "":
			if f.Type.Kind() != reflect.Struct || readsItself(f.Type) || !addFields(to, f.Type, index) {
				return false
			}
		case name == "" || to[name] != nil:
			return false
		case name != "-" && f.IsExported():
			to[name] = &field{index: index, of: f.Type}
		}
	}
	return true
}

// value reads what is next.
func (r *typedReader) value(f *layout, v reflect.Value) bool {
	c := r.in.Next()
	switch {
	case f.kind == reflect.Invalid:
		return r.strictly(v)
	case c == 'n': // nothing is there
		return string(r.in.Value()) == "null"
	}
	switch f.kind {
	case reflect.Pointer:
		to := reflect.New(f.item.of)
		v.Set(to)
		return r.value(f.item, to.Elem())
	case reflect.String:
		text, ok := r.text()
		v.SetString(text)
		return ok
	case reflect.Bool:
		word := string(r.in.Value())
		v.SetBool(word == "true")
		return word == "true" || word == "false"
	case reflect.Int32, reflect.Int64:
		n, err := strconv.ParseInt(string(r.in.Value()), 10, 64)
		v.SetInt(n)
		return err == nil && !v.OverflowInt(n)
	case reflect.Slice:
		return c == '[' && r.list(f, v)
	case reflect.Map:
		return c == '{' && r.entries(f, v)
	default:
		return c == '{' && r.object(f, v)
	}
}

// strictly leaves a value to the decoder.
func (r *typedReader) strictly(v reflect.Value) bool {
	text := r.in.Value()
	if v.Type() == reflect.TypeFor[json.RawMessage]() {
		v.SetBytes(slices.Clone(text))
		return true
	}
	strict, err := kjson.UnmarshalStrict(text, v.Addr().Interface())
	return len(strict) == 0 && err == nil
}

// list reads a list, of which it counts the items first.
func (r *typedReader) list(f *layout, v reflect.Value) bool {
	n := r.count(false)
	if n == 0 {
		v.Set(reflect.MakeSlice(f.of, 0, 0)) // which is not nil
	}
	v.Grow(n)
	v.SetLen(n)
	r.in.Open()
	for i := 0; r.in.More(); i++ {
		if i == n || !r.value(f.item, v.Index(i)) {
			return false
		}
	}
	return true
}

// count counts the items of the list that is next, or the entries of an object.
func (r *typedReader) count(named bool) (n int) {
	ahead := r.in
	ahead.Open()
	for ; ahead.More(); n++ {
		ahead.Value()
		if named {
			ahead.Value()
		}
	}
	return n
}

func (r *typedReader) entries(f *layout, v reflect.Value) bool {
	v.Set(reflect.MakeMapWithSize(f.of, r.count(true)))
	texts, isTexts := v.Addr().Interface().(*map[string]string)
	r.in.Open()
	for r.in.More() {
		key, ok := r.text()
		if !ok {
			return false
		}
		if isTexts && r.in.Next() == '"' {
			if (*texts)[key], ok = r.text(); !ok {
				return false
			}
			continue
		}
		item := reflect.New(f.item.of).Elem()
		if !r.value(f.item, item) {
			return false
		}
		v.SetMapIndex(reflect.ValueOf(key).Convert(f.of.Key()), item)
	}
	return true
}

func (r *typedReader) object(f *layout, v reflect.Value) bool {
	r.in.Open()
	for r.in.More() {
		name, ok := r.in.Plain()
		if !ok {
			return false
		}
		to := f.fields[string(name)]
		if to == nil {
			return false
		}
		if to.layout == nil {
			to.layout = r.layout(to.of)
		}
		if !r.value(to.layout, v.FieldByIndex(to.index)) {
			return false
		}
	}
	return true
}

func (r *typedReader) text() (string, bool) {
	start := r.in.Pos
	if text, ok := r.in.Plain(); ok {
		return r.recent.of(text), true
	}
	r.in.Pos = start
	return r.in.String()
}

// recentTexts has texts that were read a short while ago. Objects beside each other say much alike, so that most of their
// texts take no memory.
type recentTexts struct {
	seed maphash.Seed
	kept []string // by hash
}

// The number of recent texts, and the bytes of the longest.
const recentTextsKept, recentTextBytes = 1 << 9, 128

func (t *recentTexts) of(text []byte) string {
	if len(text) > recentTextBytes {
		return string(text)
	}
	if t.kept == nil {
		t.seed, t.kept = maphash.MakeSeed(), make([]string, recentTextsKept)
	}
	kept := &t.kept[maphash.Bytes(t.seed, text)%recentTextsKept]
	if *kept != string(text) {
		*kept = string(text)
	}
	return *kept
}
