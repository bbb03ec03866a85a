package translate

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// kindsOfKubernetes are the names of the kinds that KubernetesOf knows.
var kindsOfKubernetes = []model.Kind{
	model.KindNamespace, model.KindServiceAccount, model.KindService, model.KindPod, model.KindConfigMap, model.KindSecret,
	model.KindIngress, model.KindIngressClass, model.KindEndpointSlice, model.KindDeployment,
}

// Nil or empty everything: each kind without a spec, and with each of its messages, lists and maps empty or with one
// empty element, harms nobody. Each object has a namespace of its own, so that none stands before another. It is refused
// with a field, or what follows is valid, and leaves the parts of the healthy mesh as they are.
func TestEmptyEverythingHarmsNobody(t *testing.T) {
	e := &empties{t: t}
	for _, kind := range slices.Sorted(maps.Keys(kinds.OfIstio())) {
		how := kinds.OfIstio()[kind]
		for _, spec := range []string{"", "spec:\n", "spec: {}\n", "spec: []\n", "spec: ''\n"} {
			e.text(fmt.Sprintf("apiVersion: %s/%s\nkind: %s\nmetadata: {name: worse, namespace: %s}\n%s", how.Group, how.Versions[0], kind, e.namespace(), spec))
		}
		hollow(how.Make().ProtoReflect().Descriptor(), nil, nil, func(path []protoreflect.FieldDescriptor) {
			spec := hollowed(how.Make(), path)
			o := &model.Object{Key: model.Key{Kind: kind, Namespace: e.namespace(), Name: "worse"}, Spec: spec}
			e.take([]*model.Object{o}, nil, pathOf(string(kind), path))
		})
	}
	for _, kind := range kindsOfKubernetes {
		how, ok := kinds.KubernetesOf([]byte(`"` + kind + `"`))
		if !ok {
			t.Fatalf("%s is read no more", kind)
		}
		holes(reflect.TypeOf(how.Make()), nil, nil, func(path []string, value any) {
			tree := map[string]any{
				"apiVersion": strings.Trim(how.QuotedVersion, `"`), "kind": string(kind),
				"metadata": map[string]any{"name": "worse", "namespace": e.namespace(), "labels": map[string]any{"kubernetes.io/service-name": "worse"}},
			}
			nest(tree, path, value)
			data, err := yaml.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			e.text(string(data))
		})
	}
	t.Logf("%d objects, of which %d are taken", e.tried, len(e.taken))
	if e.tried < 1000 || len(e.taken) < e.tried/4 {
		t.Errorf("of %d objects %d are taken, which is too few for all fields", e.tried, len(e.taken))
	}
	e.build()
}

// empties are objects that hold nothing.
type empties struct {
	t     *testing.T
	tried int
	taken []*model.Object
}

// namespace is where the next object lives.
func (e *empties) namespace() string { return fmt.Sprintf("e%d", e.tried) }

// text reads an object as a file has it.
func (e *empties) text(object string) {
	objects, problems := file.Decode([]byte(object), "input.yaml")
	e.take(objects, problems, object)
}

// take keeps what validation does not refuse, and wants a reason for what it refuses.
func (e *empties) take(objects []*model.Object, problems []model.Problem, what string) {
	e.t.Helper()
	e.tried++
	for _, o := range objects {
		found := validate.Object(o)
		for _, p := range found {
			if p.Object != o.Key || p.Field == "" {
				e.t.Errorf("%s: a problem that does not name object and field: %s", what, p)
			}
		}
		if problems = append(problems, found...); !refused(o) {
			e.taken = append(e.taken, o)
		}
	}
	if len(objects) == 0 && len(problems) == 0 {
		e.t.Errorf("%s is left out, and nothing is reported", what)
	}
	for _, p := range problems {
		if p.Message == "" {
			e.t.Errorf("%s: a problem without a reason: %s", what, p)
		}
	}
}

// build translates all that was taken, for the healthy mesh and for a proxy beside each object.
func (e *empties) build() {
	healthy := readMesh(e.t, goodMesh)
	good, _ := file.Decode([]byte(goodMesh), "input.yaml")
	b := build.New(build.Options{})
	if _, err := b.Advance(e.t.Context(), store.Commit{Snapshot: Snapshot(append(good, e.taken...)), Full: true}); err != nil {
		e.t.Fatal(err)
	}
	seen, got := map[*resource.Resource]bool{}, map[string]string{}
	ask := func(p Proxy) (out Resources) {
		seat := b.Seat(p.Model())
		defer b.Leave(seat)
		out.ByType = map[string][]Resource{}
		for typ, set := range b.Result(&seat.Class).Sets {
			for r := range set.All() {
				if seen[r] && p.Namespace != "default" && p.Type != model.RouterProxy {
					continue
				}
				seen[r] = true
				m, err := r.Message()
				if err != nil {
					e.t.Fatal(err)
				}
				name := typeNames()[resource.Type(typ)]
				out.ByType[name] = append(out.ByType[name], Resource{r.Name, m})
			}
		}
		validateAll(e.t, out)
		return out
	}
	for _, p := range badAskers() {
		maps.Copy(got, partsOf(e.t, ask(p)))
	}
	for name, data := range healthy.parts {
		if got[name] != data {
			e.t.Errorf("%s of the healthy mesh differs", name)
		}
	}
	for _, o := range e.taken {
		ask(Proxy{Name: "worse", Namespace: o.Namespace, IPs: []string{"10.1.0.7"}, DNSCapture: true})
	}
}

// hollow visits the paths of all messages, lists and maps of messages; a message is not entered within itself.
func hollow(d protoreflect.MessageDescriptor, path []protoreflect.FieldDescriptor, within []protoreflect.FullName, visit func([]protoreflect.FieldDescriptor)) {
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		next := append(slices.Clone(path), fd)
		inner := fd.Message()
		if fd.IsMap() {
			inner = fd.MapValue().Message()
		}
		if inner != nil || fd.IsList() || fd.IsMap() {
			visit(next)
		}
		if inner != nil && !slices.Contains(within, inner.FullName()) && inner.ParentFile().Package() != "google.protobuf" {
			hollow(inner, next, append(slices.Clone(within), inner.FullName()), visit)
		}
	}
}

// hollowed gives a message with one field that holds an empty message, or one empty element.
func hollowed(m proto.Message, path []protoreflect.FieldDescriptor) proto.Message {
	at, fd := parent(m.ProtoReflect(), path), path[len(path)-1]
	switch {
	case fd.IsMap():
		values := at.Mutable(fd).Map()
		values.Set(mapKey(fd), values.NewValue())
	case fd.IsList():
		list := at.Mutable(fd).List()
		list.Append(list.NewElement())
	default:
		at.Mutable(fd)
	}
	return m
}

// holes visits the paths of all structs, lists and maps of a type, with null and what is empty for each.
func holes(t reflect.Type, path []string, within []reflect.Type, visit func(path []string, value any)) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || slices.Contains(within, t) || t == reflect.TypeFor[appsv1.DeploymentSpec]() {
		return // the pods of a Deployment are walked as a Pod's
	}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		inner := t.Field(i).Type
		for inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if name == "" || name == "metadata" {
			continue
		}
		next := append(slices.Clone(path), name)
		switch inner.Kind() {
		case reflect.Slice:
			visit(next, nil)
			visit(next, []any{})
			visit(next, []any{nil})
			if inner.Elem().Kind() == reflect.Struct {
				visit(next, []any{map[string]any{}})
				holes(inner.Elem(), append(next, "[]"), append(within, t), visit)
			}
		case reflect.Struct, reflect.Map:
			visit(next, nil)
			visit(next, map[string]any{})
			holes(inner, next, append(within, t), visit)
		}
	}
}

// nest puts a value into a tree, with all on the way to it; [] stands for the one element of a list.
func nest(tree map[string]any, path []string, value any) {
	for i, name := range path[:len(path)-1] {
		if name == "[]" {
			continue
		}
		inner := map[string]any{}
		tree[name] = inner
		if path[i+1] == "[]" {
			tree[name] = []any{inner}
		}
		tree = inner
	}
	tree[path[len(path)-1]] = value
}
