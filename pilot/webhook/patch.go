package webhook

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// step is one operation of a JSON patch, RFC 6902.
type step struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// difference gives the patch that makes one pod of the other. It names only what differs, so that
// fields which are not known here stay.
func difference(from, to *corev1.Pod) ([]byte, error) {
	a, err := runtime.DefaultUnstructuredConverter.ToUnstructured(from)
	if err != nil {
		return nil, err
	}
	b, err := runtime.DefaultUnstructuredConverter.ToUnstructured(to)
	if err != nil {
		return nil, err
	}
	return json.Marshal(compareMaps([]step{}, "", a, b))
}

func compare(steps []step, path string, a, b any) []step {
	switch from := a.(type) {
	case map[string]any:
		if to, ok := b.(map[string]any); ok {
			return compareMaps(steps, path, from, to)
		}
	case []any:
		if to, ok := b.([]any); ok && aligned(from, to) {
			return compareLists(steps, path, from, to)
		}
	}
	if reflect.DeepEqual(a, b) {
		return steps
	}
	return append(steps, step{"replace", path, b})
}

func compareMaps(steps []step, path string, from, to map[string]any) []step {
	for _, name := range slices.Sorted(maps.Keys(from)) {
		at := path + "/" + escape(name)
		if value, ok := to[name]; ok {
			steps = compare(steps, at, from[name], value)
		} else {
			steps = append(steps, step{Op: "remove", Path: at})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(to)) {
		if _, ok := from[name]; !ok {
			steps = append(steps, step{"add", path + "/" + escape(name), to[name]})
		}
	}
	return steps
}

// aligned tells whether the items of a list are, by their names, those with which another list
// begins, so that each is compared with itself.
func aligned(from, to []any) bool {
	if len(from) > len(to) {
		return false
	}
	for i := range from {
		if itemName(from[i]) == "" || itemName(from[i]) != itemName(to[i]) {
			return false
		}
	}
	return true
}

func itemName(v any) string {
	m, _ := v.(map[string]any)
	name, _ := m["name"].(string)
	return name
}

func compareLists(steps []step, path string, from, to []any) []step {
	for i := range from {
		steps = compare(steps, path+"/"+strconv.Itoa(i), from[i], to[i])
	}
	for _, item := range to[len(from):] {
		steps = append(steps, step{"add", path + "/-", item})
	}
	return steps
}

// escape writes a name as a part of a JSON pointer, RFC 6901.
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}
