package file

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// effects knows what has no effect here. It is never changed.
type effects struct {
	// fields are those that nothing reads, by path. A path begins with the name of a message or type and
	// goes on with names of fields: it holds wherever that message stands. The end of a path may be a
	// value, "=VALUE".
	fields      map[string]*unread
	annotations map[string]model.Annotation
}

// unread is a step of the paths.
type unread struct {
	why  string // nobody reads it; empty where only something below is unread
	next map[string]*unread
}

func newEffects() *effects {
	e := &effects{fields: map[string]*unread{}, annotations: model.Annotations()}
	for _, row := range slices.Concat(unreadFields(), unreadMeshFields(), unreadProviders()) {
		root, rest, _ := strings.Cut(row.path, ".")
		at := e.fields[root]
		if at == nil {
			at = &unread{}
			e.fields[root] = at
		}
		name, value, valued := strings.Cut(rest, "=")
		steps := strings.Split(name, ".")
		if valued {
			steps = append(steps, "="+value)
		}
		for _, step := range steps {
			if at.next == nil {
				at.next = map[string]*unread{}
			}
			if at.next[step] == nil {
				at.next[step] = &unread{}
			}
			at = at.next[step]
		}
		at.why = row.why
	}
	return e
}

// below gives the steps of a name, of all paths that have come this far.
func below(paths []*unread, name string) []*unread {
	var out []*unread
	for _, p := range paths {
		if next := p.next[name]; next != nil {
			out = append(out, next)
		}
	}
	return out
}

// whyUnread gives why nobody reads what the paths lead to, "" where somebody does.
func whyUnread(paths []*unread) string {
	for _, p := range paths {
		if p.why != "" {
			return p.why
		}
	}
	return ""
}

// enter adds the paths that begin with a message or type.
func (e *effects) enter(paths []*unread, name string) []*unread {
	if root := e.fields[name]; root != nil {
		return append(slices.Clip(paths), root)
	}
	return paths
}

// where is the place that a walk has come to.
type where struct {
	up   *where
	step string
}

func (w *where) path() string {
	if w == nil {
		return ""
	}
	up := w.up.path()
	if up == "" || strings.HasPrefix(w.step, "[") {
		return up + w.step
	}
	return up + "." + w.step
}

func item(i int) string { return "[" + strconv.Itoa(i) + "]" }

// walk is one object's.
type walk struct {
	*effects
	report func(field, why string)
}

// message reports the fields of a message that are set, other than in base if there is one, and that
// nothing reads.
func (w *walk) message(m, base protoreflect.Message, paths []*unread, at *where) {
	paths = w.enter(paths, string(m.Descriptor().Name()))
	m.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		if base != nil && base.Has(fd) && base.Get(fd).Equal(v) {
			return true
		}
		next, here := below(paths, fd.JSONName()), &where{at, fd.JSONName()}
		if why := whyUnread(next); why != "" {
			w.report(here.path(), why)
			return true
		}
		w.field(fd, v, base, next, here)
		return true
	})
}

func (w *walk) field(fd protoreflect.FieldDescriptor, v protoreflect.Value, base protoreflect.Message, paths []*unread, at *where) {
	switch {
	case fd.IsMap():
		v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
			w.value(fd.MapValue(), v, nil, paths, &where{at, "[" + k.String() + "]"})
			return true
		})
	case fd.IsList():
		for i := range v.List().Len() {
			w.value(fd, v.List().Get(i), nil, paths, &where{at, item(i)})
		}
	case fd.Message() != nil && base != nil && base.Has(fd):
		w.value(fd, v, base.Get(fd).Message(), paths, at)
	default:
		w.value(fd, v, nil, paths, at)
	}
}

func (w *walk) value(fd protoreflect.FieldDescriptor, v protoreflect.Value, base protoreflect.Message, paths []*unread, at *where) {
	switch fd.Kind() {
	case protoreflect.MessageKind:
		w.message(v.Message(), base, paths, at)
	case protoreflect.EnumKind:
		if name := fd.Enum().Values().ByNumber(v.Enum()); name != nil {
			w.word(string(name.Name()), paths, at)
		}
	case protoreflect.StringKind:
		w.word(v.String(), paths, at)
	}
}

// word reports a value that nothing understands.
func (w *walk) word(value string, paths []*unread, at *where) {
	if len(paths) == 0 {
		return
	}
	if why := whyUnread(below(paths, "="+strings.ToUpper(value))); why != "" {
		w.report(at.path(), value+": "+why)
	}
}

// object does the same for a type of Kubernetes.
func (w *walk) object(v reflect.Value, paths []*unread, at *where) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			w.object(v.Elem(), paths, at)
		}
	case reflect.Slice:
		for i := range v.Len() {
			w.object(v.Index(i), paths, &where{at, item(i)})
		}
	case reflect.String:
		w.word(v.String(), paths, at)
	case reflect.Struct:
		w.fields(v, w.enter(paths, v.Type().Name()), at)
	}
}

func (w *walk) fields(v reflect.Value, paths []*unread, at *where) {
	for i := range v.NumField() {
		name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		next := below(paths, name)
		if name == "" || v.Field(i).IsZero() {
			continue
		}
		here := &where{at, name}
		if why := whyUnread(next); why != "" {
			w.report(here.path(), why)
			continue
		}
		w.object(v.Field(i), next, here)
	}
}

func (d *decoder) known() *effects {
	if d.effects == nil {
		d.effects = newEffects()
	}
	return d.effects
}

// unread reports what of an object nothing reads. message is the object's, or nil for one of
// Kubernetes; base holds what is as if it were not set.
func (d *decoder) unread(o *model.Object, message, base protoreflect.Message, root string) []model.Problem {
	if message == nil && d.known().fields[string(o.Kind)] == nil {
		return nil
	}
	var found []model.Problem
	w := walk{effects: d.known(), report: func(field, why string) {
		found = append(found, d.noEffect(o.Key, root+field, why))
	}}
	if message != nil {
		w.message(message, base, nil, nil)
	} else {
		w.object(reflect.ValueOf(o.Spec), nil, nil)
	}
	slices.SortFunc(found, model.CompareProblems)
	return merged(found)
}

// merged tells of fields beside each other, of which the same is to be said, in one problem.
func merged(sorted []model.Problem) []model.Problem {
	if len(sorted) < 2 {
		return sorted
	}
	first := map[[2]string]int{} // by what the fields are in, and what is said
	also := map[int][]string{}
	var out []model.Problem
	for _, p := range sorted {
		dot := strings.LastIndexByte(p.Field, '.')
		at := [2]string{p.Field[:max(dot, 0)], p.Message}
		if i, again := first[at]; again {
			also[i] = append(also[i], p.Field[dot+1:])
			continue
		}
		first[at] = len(out)
		out = append(out, p)
	}
	for i, names := range also {
		out[i].Message += " (the same holds for " + strings.Join(names, ", ") + ")"
	}
	return out
}

// noEffect tells of something that is understood and that nothing reads.
func (d *decoder) noEffect(key model.Key, field, why string) model.Problem {
	return model.Problem{
		Object: key, Field: field, Severity: model.SeverityWarning, Reason: model.ReasonNotTranslated, Message: why,
		Origin: model.Origin{File: d.name},
	}
}
