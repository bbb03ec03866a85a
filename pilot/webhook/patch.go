package webhook

import (
	"bytes"
	"encoding/json"
	"reflect"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// step is one operation of a JSON patch, RFC 6902.
type step struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// differ knows how pods are written in JSON, so that two of them are compared as they are: a pod that is written and
// read again for that takes several times as long, and others wait for it.
type differ struct {
	fields map[reflect.Type][]field // of the structs that are written field by field
}

// field is a field of a struct.
type field struct {
	index int
	name  string
	// inline ones are written as fields of the struct around them; the others tell what is left out: empty ones, or zero.
	inline, omitsEmpty, omitsZero bool
}

// newDiffer gives a differ of pods.
func newDiffer() *differ {
	d := &differ{fields: map[reflect.Type][]field{}}
	d.learn(reflect.TypeFor[corev1.Pod]())
	return d
}

// learn notes the fields of a type and of all that it is made of. What writes itself is a value to compare as a whole.
func (d *differ) learn(t reflect.Type) {
	marshaler := reflect.TypeFor[json.Marshaler]()
	if t.Implements(marshaler) || reflect.PointerTo(t).Implements(marshaler) {
		return
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		d.learn(t.Elem())
		return
	case reflect.Struct:
	default:
		return
	}
	if _, known := d.fields[t]; known {
		return
	}
	d.fields[t] = nil
	var all []field
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "-" || !t.Field(i).IsExported() {
			continue
		}
		has := func(option string) bool { return slices.Contains(strings.Split(options, ","), option) }
		f := field{index: i, name: name, inline: t.Field(i).Anonymous && name == "", omitsEmpty: has("omitempty"), omitsZero: has("omitzero")}
		all = append(all, f)
		d.learn(t.Field(i).Type)
	}
	d.fields[t] = all
}

// written tells whether a field with this value is.
func (f *field) written(v reflect.Value) bool {
	if f.omitsZero && v.IsZero() {
		return false
	}
	if !f.omitsEmpty {
		return true
	}
	switch v.Kind() {
	case reflect.Map, reflect.Slice, reflect.String:
		return v.Len() > 0
	case reflect.Struct:
		return true
	}
	return !v.IsZero()
}

// patch gives the JSON patch that makes one pod of the other. It names only what differs, so that fields which are not
// known here stay.
func (d *differ) patch(from, to *corev1.Pod) ([]byte, error) {
	c := comparison{differ: d, steps: make([]step, 0, 16)}
	c.compare(reflect.ValueOf(from).Elem(), reflect.ValueOf(to).Elem())
	return json.Marshal(c.steps)
}

// comparison is of two pods.
type comparison struct {
	*differ
	path  []string // of what is compared
	steps []step
}

func (c *comparison) add(op string, value reflect.Value) {
	var path strings.Builder
	for _, name := range c.path {
		path.WriteByte('/')
		path.WriteString(escape(name))
	}
	s := step{Op: op, Path: path.String()}
	if op != "remove" {
		s.Value = whole(value)
	}
	c.steps = append(c.steps, s)
}

// whole gives a value, without a copy where that is possible.
func whole(v reflect.Value) any {
	if v.CanAddr() {
		return v.Addr().Interface()
	}
	return v.Interface()
}

// below compares the values of a field, a key or an item, as far as they are there.
func (c *comparison) below(name string, a, b reflect.Value, was, is bool) {
	if !was && !is {
		return
	}
	c.path = append(c.path, name)
	switch {
	case !is:
		c.add("remove", b)
	case !was:
		c.add("add", b)
	default:
		c.compare(a, b)
	}
	c.path = c.path[:len(c.path)-1]
}

func (c *comparison) compare(a, b reflect.Value) {
	if fields, ok := c.fields[a.Type()]; ok {
		for i := range fields {
			f := &fields[i]
			if x, y := a.Field(f.index), b.Field(f.index); f.inline {
				c.compare(x, y)
			} else {
				c.below(f.name, x, y, f.written(x), f.written(y))
			}
		}
		return
	}
	switch a.Kind() {
	case reflect.Pointer:
		if !a.IsNil() && !b.IsNil() {
			c.compare(a.Elem(), b.Elem())
			return
		}
	case reflect.Map:
		if !a.IsNil() && !b.IsNil() {
			c.compareMaps(a, b)
			return
		}
	case reflect.Slice:
		if c.aligned(a, b) {
			c.compareItems(a, b)
			return
		}
	}
	if !same(a, b) {
		c.add("replace", b)
	}
}

func (c *comparison) compareMaps(a, b reflect.Value) {
	keys := slices.Concat(a.MapKeys(), b.MapKeys())
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	keys = slices.CompactFunc(keys, func(x, y reflect.Value) bool { return x.String() == y.String() })
	for _, key := range keys {
		was, is := a.MapIndex(key), b.MapIndex(key)
		c.below(key.String(), was, is, was.IsValid(), is.IsValid())
	}
}

// aligned tells whether the items of a list are, by their names, those with which another list
// begins, so that each is compared with itself.
func (c *comparison) aligned(from, to reflect.Value) bool {
	item := from.Type().Elem()
	fields := c.fields[item]
	at := slices.IndexFunc(fields, func(f field) bool { return f.name == "name" && item.Field(f.index).Type.Kind() == reflect.String })
	if at < 0 || from.Len() == 0 || from.Len() > to.Len() {
		return false
	}
	name := func(item reflect.Value) string { return item.Field(fields[at].index).String() }
	for i := range from.Len() {
		if name(from.Index(i)) == "" || name(from.Index(i)) != name(to.Index(i)) {
			return false
		}
	}
	return true
}

func (c *comparison) compareItems(from, to reflect.Value) {
	for i := range from.Len() {
		c.below(strconv.Itoa(i), from.Index(i), to.Index(i), true, true)
	}
	for i := from.Len(); i < to.Len(); i++ {
		c.below("-", to.Index(i), to.Index(i), false, true)
	}
}

// same tells whether two values are written alike.
func same(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.String, reflect.Bool, reflect.Int, reflect.Int32, reflect.Int64:
		return a.Equal(b)
	}
	x, y := whole(a), whole(b)
	if reflect.DeepEqual(x, y) {
		return true
	}
	// Quantities are written alike that were read from different texts.
	before, err := json.Marshal(x)
	after, err2 := json.Marshal(y)
	return err == nil && err2 == nil && bytes.Equal(before, after)
}

// escape writes a name as a part of a JSON pointer, RFC 6901.
func escape(name string) string {
	return strings.ReplaceAll(strings.ReplaceAll(name, "~", "~0"), "/", "~1")
}
