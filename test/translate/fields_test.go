package translate

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"
	networking "istio.io/api/networking/v1alpha3"
	security "istio.io/api/security/v1beta1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// walked is a kind with an object of it in which each field is set in turn.
type walked struct {
	kind, apiVersion string
	spec             proto.Message
	bases            []string // specs in YAML, in any of which a field has to act
}

func walkedKinds() []walked {
	traffic := "networking.istio.io/v1"
	return []walked{
		{"VirtualService", traffic, &networking.VirtualService{}, virtualServiceBases},
		{"DestinationRule", traffic, &networking.DestinationRule{}, destinationRuleBases},
		{"Gateway", traffic, &networking.Gateway{}, gatewayBases},
		{"Sidecar", traffic, &networking.Sidecar{}, sidecarBases},
		{"ServiceEntry", traffic, &networking.ServiceEntry{}, serviceEntryBases},
		{"WorkloadEntry", traffic, &networking.WorkloadEntry{}, workloadEntryBases},
		{"WorkloadGroup", traffic, &networking.WorkloadGroup{}, []string{`{template: {}}`}},
		{"PeerAuthentication", "security.istio.io/v1", &security.PeerAuthentication{}, peerAuthenticationBases},
		{"Telemetry", "telemetry.istio.io/v1", &telemetryapi.Telemetry{}, telemetryBases},
		{"RequestAuthentication", "security.istio.io/v1", &security.RequestAuthentication{}, requestAuthenticationBases},
		{"AuthorizationPolicy", "security.istio.io/v1", &security.AuthorizationPolicy{}, authorizationPolicyBases},
		{"MeshConfig", "", &meshconfig.MeshConfig{}, meshBases},
	}
}

// document writes an object as a user would.
func (w *walked) document(t *testing.T, spec proto.Message) []byte {
	t.Helper()
	data, err := protojson.Marshal(spec)
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{
		"apiVersion": w.apiVersion, "kind": w.kind, "metadata": map[string]string{"name": "walked", "namespace": "default"}, "spec": json.RawMessage(data),
	}
	if w.kind == "MeshConfig" {
		object = map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": "istio", "namespace": "istio-system"},
			"data": map[string]string{"mesh": string(data)},
		}
	}
	if data, err = json.Marshal(object); err != nil {
		t.Fatal(err)
	}
	if w.kind == "Telemetry" {
		data = append(data, tracedMesh...)
	}
	return data
}

// effect is what a mesh with an object gives.
type effect struct {
	bytes    []byte
	problems []model.Problem
}

// world is the mesh around the object that is walked.
type world struct {
	objects []*model.Object
	proxies []*model.Proxy
}

func newWorld(t *testing.T) *world {
	t.Helper()
	objects, problems := file.Decode([]byte(worldYAML), "world.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	keys := &model.Object{Key: model.KeySetSource{URL: "https://keys.example"}.Key(), Spec: &model.KeySet{Keys: `{"keys":[]}`}}
	trust := &model.Object{Key: model.Key{Kind: model.KindTrustBundle, Name: "default"}, Spec: &model.TrustBundle{Roots: []string{"root"}}}
	w := &world{objects: append(objects, keys, trust)}
	for _, p := range []Proxy{
		{Name: "client-0", Namespace: "default", IPs: []string{"10.0.0.9"}, Locality: "r/z/s"},
		{Name: "reviews-v1-0", Namespace: "default", IPs: []string{"10.0.0.1"}},
		{Name: "gateway-0", Namespace: "default", IPs: []string{"10.0.0.8"}, Type: model.RouterProxy, Labels: map[string]string{"istio": "ingressgateway"}},
	} {
		w.proxies = append(w.proxies, p.Model())
	}
	return w
}

// effect adds a document to the world and translates for all proxies.
func (w *world) effect(t *testing.T, document []byte) effect {
	t.Helper()
	objects, problems := file.Decode(document, "walked.json")
	r := Snapshot(slices.Concat(w.objects, objects))
	out := effect{problems: problems}
	for _, p := range w.proxies {
		res := Build(r, p)
		out.problems = append(out.problems, res.Problems...)
		res.Problems = nil
		out.bytes = append(out.bytes, wire(t, res)...)
	}
	return out
}

// pathOf gives a path as the tables write it.
func pathOf(kind string, steps []protoreflect.FieldDescriptor) string {
	var b strings.Builder
	b.WriteString(kind)
	for _, s := range steps {
		b.WriteString("." + s.JSONName())
	}
	return b.String()
}

// isLeaf tells whether a field's value is set as a whole.
func isLeaf(fd protoreflect.FieldDescriptor) bool {
	if fd.IsMap() {
		return fd.MapValue().Message() == nil || fd.MapValue().Message().Fields().Len() == 0
	}
	return fd.Message() == nil || fd.Message().ParentFile().Package() == "google.protobuf" || fd.Message().Fields().Len() == 0
}

// leaves visits the path of each leaf; a message is not entered within itself.
func leaves(d protoreflect.MessageDescriptor, path []protoreflect.FieldDescriptor, within []protoreflect.FullName, visit func([]protoreflect.FieldDescriptor)) {
	for i := range d.Fields().Len() {
		fd := d.Fields().Get(i)
		next := append(slices.Clone(path), fd)
		if isLeaf(fd) {
			visit(next)
			continue
		}
		inner := fd.Message()
		if fd.IsMap() {
			inner = fd.MapValue().Message()
		}
		if !slices.Contains(within, inner.FullName()) {
			leaves(inner, next, append(slices.Clone(within), inner.FullName()), visit)
		}
	}
}

// mapKey is the key under which a map's value is tried.
func mapKey(fd protoreflect.FieldDescriptor) protoreflect.MapKey {
	if fd.Name() == "tag_overrides" { // of a metric, which has labels of its own
		return protoreflect.ValueOfString("response_flags").MapKey()
	}
	if fd.MapKey().Kind() == protoreflect.StringKind {
		return protoreflect.ValueOfString("x-key").MapKey()
	}
	return protoreflect.ValueOfUint32(9080).MapKey()
}

// parent gives the message that holds the last field of a path, with all on the way to it made.
func parent(m protoreflect.Message, path []protoreflect.FieldDescriptor) protoreflect.Message {
	for _, fd := range path[:len(path)-1] {
		switch {
		case fd.IsMap():
			m = m.Mutable(fd).Map().Mutable(mapKey(fd)).Message()
		case fd.IsList():
			list := m.Mutable(fd).List()
			if list.Len() == 0 {
				list.AppendMutable()
			}
			m = list.Get(0).Message()
		default:
			m = m.Mutable(fd).Message()
		}
	}
	return m
}

// read gives one of the kind's bases.
func (w *walked) read(t *testing.T, text string) proto.Message {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	m := w.spec.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal(data, m); err != nil {
		t.Fatalf("%s: %v in %s", w.kind, err, text)
	}
	return m
}

// values gives the JSON of some values of a leaf.
func values(path string, fd protoreflect.FieldDescriptor) []string {
	for _, s := range samples {
		if strings.HasSuffix(path, s.path) {
			return s.values
		}
	}
	var out []string
	switch {
	case fd.IsMap():
		return []string{`{"app": "reviews"}`, `{"x-a": "v"}`}
	case fd.Kind() == protoreflect.EnumKind:
		for i := range fd.Enum().Values().Len() {
			out = append(out, `"`+string(fd.Enum().Values().Get(i).Name())+`"`)
		}
	case fd.Message() != nil:
		switch fd.Message().Name() {
		case "Duration":
			out = []string{`"7s"`}
		case "BoolValue":
			out = []string{"true", "false"}
		case "UInt32Value", "UInt64Value", "Int32Value", "Int64Value":
			out = []string{"3"}
		case "DoubleValue":
			out = []string{"0.3"}
		default:
			out = []string{"{}"}
		}
	case fd.Kind() == protoreflect.StringKind:
		out = []string{`"x"`, `"v2"`, `"reviews"`, `"/x"`, `"10.0.0.0/24"`, `"10.1.2.3"`, `"503"`}
	case fd.Kind() == protoreflect.BoolKind:
		out = []string{"true"}
	default:
		out = []string{"3", "30", "9080"}
	}
	if fd.IsList() {
		for i := range out {
			out[i] = "[" + out[i] + "]"
		}
	}
	return out
}

// set gives a message with a leaf set, or nil where that makes no sense.
func set(m proto.Message, path []protoreflect.FieldDescriptor, value string) proto.Message {
	out := proto.Clone(m)
	fd := path[len(path)-1]
	at := parent(out.ProtoReflect(), path)
	one := at.New().Interface()
	if protojson.Unmarshal([]byte(`{"`+fd.JSONName()+`":`+value+`}`), one) != nil {
		return nil
	}
	at.Set(fd, one.ProtoReflect().Get(fd))
	return out
}

// has tells whether a message has all fields of a path.
func has(m protoreflect.Message, path []protoreflect.FieldDescriptor) bool {
	for _, fd := range path {
		switch {
		case !m.Has(fd):
			return false
		case fd.IsMap():
			value := m.Get(fd).Map().Get(mapKey(fd))
			if !value.IsValid() {
				return false
			}
			m = value.Message()
		case fd.IsList():
			m = m.Get(fd).List().Get(0).Message()
		default:
			m = m.Get(fd).Message()
		}
	}
	return true
}

// verdict is what becomes of a leaf.
type verdict struct{ acts, reported bool }

// judge sets a leaf in the kind's bases.
func (w *walked) judge(t *testing.T, world *world, path []protoreflect.FieldDescriptor) verdict {
	var out verdict
	name := pathOf(w.kind, path)
	for i, base := range w.bases {
		without := w.read(t, base)
		if i > 0 && !has(without.ProtoReflect(), path[:len(path)-1]) {
			continue
		}
		parent(without.ProtoReflect(), path)
		before := world.effect(t, w.document(t, without))
		for _, value := range values(name, path[len(path)-1]) {
			with := set(without, path, value)
			if with == nil || proto.Equal(with, without) {
				continue
			}
			after := world.effect(t, w.document(t, with))
			out.reported = out.reported || reported(after.problems, path)
			if !bytes.Equal(before.bytes, after.bytes) && len(errorsOf(after.problems)) <= len(errorsOf(before.problems)) {
				out.acts = true
				return out
			}
		}
	}
	return out
}

func errorsOf(problems []model.Problem) []model.Problem {
	return slices.DeleteFunc(slices.Clone(problems), func(p model.Problem) bool { return p.Severity != model.SeverityError })
}

// reported tells whether a problem says that a field, or what it is in, has no effect.
func reported(problems []model.Problem, path []protoreflect.FieldDescriptor) bool {
	names := strings.Split(pathOf("", path), ".")[1:]
	return slices.ContainsFunc(problems, func(p model.Problem) bool {
		if p.Reason != model.ReasonNotTranslated {
			return false
		}
		said := strings.Split(strings.TrimPrefix(p.Field, "spec."), ".")
		for i := range said {
			said[i], _, _ = strings.Cut(said[i], "[")
		}
		return len(said) <= len(names) && slices.Equal(said, names[:len(said)])
	})
}

// TestEveryFieldActsOrIsReported sets every field of every kind that is read here: it changes what proxies
// get, or acts elsewhere, or is known to need no effect, or is a problem.
func TestEveryFieldActsOrIsReported(t *testing.T) {
	world := newWorld(t)
	seen := map[string]bool{}
	for _, w := range walkedKinds() {
		t.Run(w.kind, func(t *testing.T) {
			d := w.spec.ProtoReflect().Descriptor()
			leaves(d, nil, []protoreflect.FullName{d.FullName()}, func(path []protoreflect.FieldDescriptor) {
				name := pathOf(w.kind, path)
				seen[name] = true
				v := w.judge(t, world, path)
				_, elsewhere := actsElsewhere[name]
				_, silent := needNoEffect[name]
				_, out := leftOut[name]
				switch {
				case v.acts && v.reported && !out:
					t.Errorf("%s changes what proxies get, and is reported to have no effect", name)
				case (v.acts || v.reported) && (elsewhere || silent):
					t.Errorf("%s is in a table that it needs not be in: %+v", name, v)
				case !v.acts && !v.reported && !elsewhere && !silent:
					t.Errorf("%s has no effect, and nothing tells so", name)
				}
			})
		})
	}
	for _, table := range []map[string]string{actsElsewhere, needNoEffect, leftOut} {
		for name := range table {
			if !seen[name] {
				t.Errorf("%s: there is no such field", name)
			}
		}
	}
}

// TestFieldsActWhereTheTableSays looks for the fields in the files that are said to read them.
func TestFieldsActWhereTheTableSays(t *testing.T) {
	for name, at := range actsElsewhere {
		text, err := os.ReadFile(filepath.Join("../..", at))
		if err != nil {
			t.Fatal(err)
		}
		field := name[strings.LastIndexByte(name, '.')+1:]
		if !strings.Contains(strings.ToLower(string(text)), strings.ToLower(field)) {
			t.Errorf("%s does not read %s", at, name)
		}
	}
}
