package inject

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
)

// filler writes trees into values of a type, as JSON is read into them. It knows the fields of all structs that the type
// is made of, so that nothing is looked for while a pod waits.
type filler map[reflect.Type]map[string][]int

// newFiller gives a filler of values of a type.
func newFiller(t reflect.Type) filler {
	f := filler{}
	f.learn(t)
	return f
}

var unmarshaler = reflect.TypeFor[json.Unmarshaler]()

func (f filler) learn(t reflect.Type) {
	if reflect.PointerTo(t).Implements(unmarshaler) {
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		f.learn(t.Elem())
	case reflect.Struct:
		if _, known := f[t]; known {
			return
		}
		fields := map[string][]int{}
		f[t] = fields
		for i := range t.NumField() {
			field := t.Field(i)
			name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			f.learn(field.Type)
			switch {
			case name == "-" || !field.IsExported():
			case name != "":
				fields[name] = field.Index
			case field.Anonymous: // its fields are written as the struct's own
				for inner, at := range f[field.Type] {
					fields[inner] = slices.Concat(field.Index, at)
				}
			}
		}
	}
}

// fill writes a tree into a zero value. It gives false where that takes more than this, as for fields that are not known or
// values of another type; what the value is then does not matter.
func (f filler) fill(v reflect.Value, tree any) bool {
	if reflect.PointerTo(v.Type()).Implements(unmarshaler) {
		text, err := json.Marshal(tree)
		return err == nil && isScalar(tree) && v.Addr().Interface().(json.Unmarshaler).UnmarshalJSON(text) == nil
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		return f.fill(v.Elem(), tree)
	}
	switch tree := tree.(type) {
	case string:
		if v.Kind() != reflect.String {
			return false
		}
		v.SetString(tree)
	case bool:
		if v.Kind() != reflect.Bool {
			return false
		}
		v.SetBool(tree)
	case int64:
		if !v.CanInt() || v.OverflowInt(tree) {
			return false
		}
		v.SetInt(tree)
	case []any:
		return f.fillSlice(v, tree)
	case object:
		if v.Kind() == reflect.Map {
			return f.fillMap(v, tree)
		}
		return f.fillStruct(v, tree)
	default:
		return false
	}
	return true
}

func isScalar(tree any) bool {
	switch tree.(type) {
	case string, bool, int64:
		return true
	}
	return false
}

func (f filler) fillSlice(v reflect.Value, tree []any) bool {
	if v.Kind() != reflect.Slice {
		return false
	}
	v.Set(reflect.MakeSlice(v.Type(), len(tree), len(tree)))
	for i, item := range tree {
		if !f.fill(v.Index(i), item) {
			return false
		}
	}
	return true
}

func (f filler) fillMap(v reflect.Value, tree object) bool {
	v.Set(reflect.MakeMapWithSize(v.Type(), len(tree)))
	for _, m := range tree {
		item := reflect.New(v.Type().Elem()).Elem()
		if !f.fill(item, m.value) {
			return false
		}
		v.SetMapIndex(reflect.ValueOf(m.name).Convert(v.Type().Key()), item)
	}
	return true
}

func (f filler) fillStruct(v reflect.Value, tree object) bool {
	fields := f[v.Type()]
	for _, m := range tree {
		at, known := fields[m.name]
		if !known || !f.fill(v.FieldByIndex(at), m.value) {
			return false
		}
	}
	return fields != nil
}
