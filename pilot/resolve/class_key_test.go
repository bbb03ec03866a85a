package resolve

import (
	"reflect"
	"testing"
)

// TestEveryFieldOfAClassCountsInItsKey sets one field after the other, also those that are added
// later.
func TestEveryFieldOfAClassCountsInItsKey(t *testing.T) {
	empty := Class{}
	seen := map[string]string{empty.hash(): "no field"}
	visit := func(field string, set func(c *Class)) {
		var c Class
		set(&c)
		key := c.hash()
		if former, ok := seen[key]; ok {
			t.Errorf("%s gives the same key as %s", field, former)
		}
		seen[key] = field
	}
	fields := reflect.TypeFor[Class]()
	for i := range fields.NumField() {
		if f := fields.Field(i); f.Name != "Key" {
			leaves(f.Type, f.Name, func(path string, set func(reflect.Value)) {
				visit(path, func(c *Class) { set(reflect.ValueOf(c).Elem().Field(i)) })
			})
		}
	}
	if len(seen) < 30 {
		t.Errorf("only %d fields were seen", len(seen))
	}
}

func TestAnEmptyListIsNoneInAKey(t *testing.T) {
	if none, empty := (&Class{}).hash(), (&Class{Inbound: []InboundPort{}, SourceLabels: []string{}}).hash(); none != empty {
		t.Errorf("without lists %s, with empty ones %s", none, empty)
	}
}

// leaves finds what can be set in a value of a type; of lists the first element.
func leaves(typ reflect.Type, path string, visit func(path string, set func(reflect.Value))) {
	switch typ.Kind() {
	case reflect.Struct:
		for i := range typ.NumField() {
			leaves(typ.Field(i).Type, path+"."+typ.Field(i).Name, func(path string, set func(reflect.Value)) {
				visit(path, func(v reflect.Value) { set(v.Field(i)) })
			})
		}
	case reflect.Slice:
		leaves(typ.Elem(), path+"[0]", func(path string, set func(reflect.Value)) {
			visit(path, func(v reflect.Value) {
				v.Set(reflect.MakeSlice(typ, 1, 1))
				set(v.Index(0))
			})
		})
	case reflect.Bool:
		visit(path, func(v reflect.Value) { v.SetBool(true) })
	case reflect.Uint32, reflect.Uint8:
		visit(path, func(v reflect.Value) { v.SetUint(7) })
	case reflect.Int64:
		visit(path, func(v reflect.Value) { v.SetInt(7) })
	default:
		visit(path, func(v reflect.Value) { v.SetString("x") })
	}
}
