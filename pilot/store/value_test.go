package store

import (
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// A field that is compared nowhere would let a service stay as it was after a change of that field.
func TestServicesAreTheSameOnlyIfAllFieldsAre(t *testing.T) {
	origin := []string{"Origin"} // where it was read is no matter of its value
	for i := range reflect.TypeFor[model.Service]().NumField() {
		a, b := &model.Service{}, &model.Service{}
		field, name := reflect.ValueOf(b).Elem().Field(i), reflect.TypeFor[model.Service]().Field(i).Name
		switch field.Kind() {
		case reflect.String:
			field.SetString("x")
		case reflect.Bool:
			field.SetBool(true)
		case reflect.Uint8:
			field.SetUint(1)
		case reflect.Slice:
			field.Set(reflect.MakeSlice(field.Type(), 1, 1))
		case reflect.Map:
			field.Set(reflect.ValueOf(map[string]string{"x": "y"}))
		default:
			switch x := field.Addr().Interface().(type) {
			case *model.Key:
				x.Name = "x"
			case *model.Origin:
				x.File = "x"
			case *time.Time:
				*x = time.Unix(1, 0)
			default:
				t.Fatalf("field %s: how to change a %s", name, field.Type())
			}
		}
		if got, want := sameService(a, b), slices.Contains(origin, name); got != want {
			t.Errorf("another %s: the same: %v, want %v", name, got, want)
		}
	}
	at := time.Unix(1, 0)
	if !sameService(&model.Service{Created: at.UTC()}, &model.Service{Created: at.In(time.FixedZone("", 60))}) {
		t.Error("the time zone of an age counts")
	}
}
