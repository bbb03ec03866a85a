package file

import (
	"fmt"
	"reflect"
	"testing"

	corev1 "k8s.io/api/core/v1"
	kjson "sigs.k8s.io/json"
)

// An object is told the same of whether or not others were decoded before, of the same shape and of shapes
// that differ in one name or brace.
func TestKnownShapesHideNothing(t *testing.T) {
	pod := func(format string, args ...any) string {
		return `{"apiVersion":"v1","kind":"Pod",` + fmt.Sprintf(format, args...) + `}`
	}
	var s shapes
	if strict, err := s.unmarshal([]byte(`"Pod"`), []byte(`{}`), &corev1.Pod{}); len(strict) > 0 || err != nil {
		t.Fatal(strict, err)
	}
	strictly := 0
	for _, c := range []struct {
		name, text string
		known      bool // its shape, of those before
	}{
		{"good", pod(`"metadata":{"name":"a","labels":{"x":"1","y":"2"}},"spec":{"containers":[{"name":"a"},{"name":"b"}]}`), false},
		{"other values", pod(`"metadata":{"name":"b\"","labels":{"x":"","y":"{\\"}},"spec":{"containers":[{"name":","},{"name":"kind:"}]}`), true},
		{"an unknown field", pod(`"metadata":{"name":"a","labels":{"x":"1","y":"2"}},"spec":{"containers":[{"name":"a"},{"nam":"b"}]}`), false},
		{"it again", pod(`"metadata":{"name":"a","labels":{"x":"1","y":"2"}},"spec":{"containers":[{"name":"a"},{"nam":"c"}]}`), false},
		{"a field twice", pod(`"metadata":{"name":"a","labels":{"x":"1","y":"2"}},"spec":{"containers":[{"name":"a","name":"b"}]}`), false},
		{"a label twice", pod(`"metadata":{"name":"a","labels":{"x":"1","x":"2"}},"spec":{"containers":[{"name":"a"},{"name":"b"}]}`), false},
		{"a field elsewhere", pod(`"metadata":{"name":"a","labels":{"x":"1"},"y":"2"},"spec":{"containers":[{"name":"a"},{"name":"b"}]}`), false},
		{"another type", pod(`"metadata":{"name":"a","labels":{"x":1,"y":"2"}},"spec":{"containers":[{"name":"a"},{"name":"b"}]}`), true},
	} {
		var got, want corev1.Pod
		_, known := s.known[s.of([]byte(`"Pod"`), []byte(c.text))]
		if known != c.known {
			t.Errorf("%s: known is %v", c.name, known)
		}
		gotStrict, gotErr := s.unmarshal([]byte(`"Pod"`), []byte(c.text), &got)
		wantStrict, wantErr := kjson.UnmarshalStrict([]byte(c.text), &want)
		strictly += len(gotStrict)
		if fmt.Sprint(gotStrict) != fmt.Sprint(wantStrict) || fmt.Sprint(gotErr) != fmt.Sprint(wantErr) || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, %v, %v, want %v, %v, %v", c.name, gotStrict, gotErr, got, wantStrict, wantErr, want)
		}
	}
	if strictly != 5 {
		t.Errorf("strict decoding found %d faults, want 5", strictly)
	}
	other := s.of([]byte(`"Service"`), []byte(pod(`"metadata":{"name":"a"}`)))
	if other == s.of([]byte(`"Pod"`), []byte(pod(`"metadata":{"name":"a"}`))) {
		t.Error("two kinds have one shape")
	}
}
