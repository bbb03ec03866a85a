package bounds

import (
	"fmt"
	"math"
	"reflect"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// structMutator is the mutator of Kubernetes' own kinds, which are Go structs. Their metadata and status stay as
// they are, but for a Pod's status, which tells where it is.
type structMutator struct {
	root  runtime.Object
	found func(mutation)
	texts *mutator // deals out the texts
	above map[reflect.Type]bool
	// done are the fields that had their turn, in whatever object of the kind. One that the root sets has it again.
	done map[string]bool
}

// structMutations calls found with every mutation of an object, of texts with one in share.
func structMutations(root runtime.Object, share int, done map[string]bool, found func(mutation)) {
	m := &structMutator{root: root, found: found, texts: &mutator{share: share}, above: map[reflect.Type]bool{}, done: done}
	m.vary(reflect.TypeOf(root).Elem(), "", func(root reflect.Value) reflect.Value { return root })
}

// vary takes a value of a type, which reach finds in a copy of the root, and all that is in it.
func (m *structMutator) vary(t reflect.Type, path string, reach func(root reflect.Value) reflect.Value) {
	if scalar := t.Kind() <= reflect.Float64 || t.Kind() == reflect.String; scalar {
		if m.done[path] && reach(m.copied()).IsZero() {
			return
		}
		m.done[path] = true
	}
	switch t.Kind() {
	case reflect.Pointer:
		m.vary(t.Elem(), path, func(root reflect.Value) reflect.Value {
			v := reach(root)
			if v.IsNil() {
				v.Set(reflect.New(t.Elem()))
			}
			return v.Elem()
		})
	case reflect.Struct:
		m.fields(t, path, reach)
	case reflect.Slice:
		m.items(t, path, reach)
	case reflect.Map:
		m.entries(t, path, reach)
	case reflect.String:
		m.texts.turn++
		for _, s := range m.texts.texts() {
			m.set(path, s, func(root reflect.Value) { reach(root).SetString(s) })
		}
	case reflect.Bool:
		for _, b := range []bool{false, true} {
			m.set(path, b, func(root reflect.Value) { reach(root).SetBool(b) })
		}
	case reflect.Int32, reflect.Int64:
		for _, n := range []int64{0, 1, 65535, 65536, math.MaxInt32, math.MaxInt64, -1, math.MinInt32} {
			if t.Kind() == reflect.Int64 || n == int64(int32(n)) {
				m.set(path, n, func(root reflect.Value) { reach(root).SetInt(n) })
			}
		}
	}
}

func (m *structMutator) fields(t reflect.Type, path string, reach func(root reflect.Value) reflect.Value) {
	if m.above[t] || t == reflect.TypeFor[metav1.ObjectMeta]() || t == reflect.TypeFor[metav1.TypeMeta]() || t == reflect.TypeFor[metav1.Time]() {
		return
	}
	m.above[t] = true
	defer delete(m.above, t)
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() || path == "" && f.Name == "Status" {
			continue
		}
		m.vary(f.Type, strings.TrimPrefix(path+"."+f.Name, "."), func(root reflect.Value) reflect.Value { return reach(root).Field(i) })
	}
}

func (m *structMutator) items(t reflect.Type, path string, reach func(root reflect.Value) reflect.Value) {
	at := func(i int) func(root reflect.Value) reflect.Value {
		return func(root reflect.Value) reflect.Value {
			list := reach(root)
			for list.Len() <= i {
				list.Set(reflect.Append(list, reflect.Zero(t.Elem())))
			}
			return list.Index(i)
		}
	}
	present := reach(m.copied()).Len()
	for i := range max(present, 1) {
		m.vary(t.Elem(), fmt.Sprintf("%s[%d]", path, i), at(i))
	}
}

func (m *structMutator) entries(t reflect.Type, path string, reach func(root reflect.Value) reflect.Value) {
	if t.Key().Kind() != reflect.String || t.Elem().Kind() != reflect.String {
		return
	}
	put := func(root reflect.Value, k, v string) {
		entries := reach(root)
		if entries.IsNil() {
			entries.Set(reflect.MakeMap(t))
		}
		entries.SetMapIndex(reflect.ValueOf(k).Convert(t.Key()), reflect.ValueOf(v).Convert(t.Elem()))
	}
	m.texts.turn++
	for _, s := range m.texts.texts() {
		m.set(path+" key", s, func(root reflect.Value) { put(root, s, "v1") })
		m.set(path+" value", s, func(root reflect.Value) { put(root, "app", s) })
	}
}

func (m *structMutator) copied() reflect.Value {
	return reflect.ValueOf(m.root.DeepCopyObject()).Elem()
}

func (m *structMutator) set(path string, value any, change func(root reflect.Value)) {
	root := m.copied()
	change(root)
	shown := fmt.Sprintf("%q", fmt.Sprint(value))
	if len(shown) > 60 {
		shown = fmt.Sprintf("%s… (%d letters)", shown[:40], len(shown))
	}
	m.found(mutation{field: path + " = " + shown, spec: root.Addr().Interface()})
}
