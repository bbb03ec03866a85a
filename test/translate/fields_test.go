package translate

import (
	"bytes"
	"cmp"
	"crypto/sha256"
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
	networkingbeta "istio.io/api/networking/v1beta1"
	security "istio.io/api/security/v1beta1"
	telemetryapi "istio.io/api/telemetry/v1alpha1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/machine"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// walked is a kind with an object of it in which each field is set in turn.
type walked struct {
	kind, apiVersion string
	spec             proto.Message
	bases            []string // specs in YAML, in any of which a field has to act
	outcomes         []outcome
}

// apiKind is a kind whose fields are walked.
type apiKind interface {
	name() string
	walk(t *testing.T, world *world)
	found() []outcome // what the walk found out, in the order of the fields
}

// outcome is what becomes of a leaf.
type outcome struct {
	path                      string // in the object, without "spec."
	acts, elsewhere, reported bool
	said, why                 string            // what is reported, and of which path, which may be of a message around it
	values                    map[string]string // values of an enumeration that have no effect, with what is reported
}

func walkedKinds() []apiKind {
	traffic := "networking.istio.io/v1"
	var out []apiKind
	for _, w := range []walked{
		{kind: "VirtualService", apiVersion: traffic, spec: &networking.VirtualService{}, bases: virtualServiceBases},
		{kind: "DestinationRule", apiVersion: traffic, spec: &networking.DestinationRule{}, bases: destinationRuleBases},
		{kind: "Gateway", apiVersion: traffic, spec: &networking.Gateway{}, bases: gatewayBases},
		{kind: "Sidecar", apiVersion: traffic, spec: &networking.Sidecar{}, bases: sidecarBases},
		{kind: "ServiceEntry", apiVersion: traffic, spec: &networking.ServiceEntry{}, bases: serviceEntryBases},
		{kind: "WorkloadEntry", apiVersion: traffic, spec: &networking.WorkloadEntry{}, bases: workloadEntryBases},
		{kind: "WorkloadGroup", apiVersion: traffic, spec: &networking.WorkloadGroup{}, bases: workloadGroupBases},
		{kind: "PeerAuthentication", apiVersion: "security.istio.io/v1", spec: &security.PeerAuthentication{}, bases: peerAuthenticationBases},
		{kind: "Telemetry", apiVersion: "telemetry.istio.io/v1", spec: &telemetryapi.Telemetry{}, bases: telemetryBases},
		{kind: "RequestAuthentication", apiVersion: "security.istio.io/v1", spec: &security.RequestAuthentication{}, bases: requestAuthenticationBases},
		{kind: "AuthorizationPolicy", apiVersion: "security.istio.io/v1", spec: &security.AuthorizationPolicy{}, bases: authorizationPolicyBases},
		{kind: "EnvoyFilter", apiVersion: "networking.istio.io/v1alpha3", spec: &networking.EnvoyFilter{}, bases: envoyFilterBases},
		{kind: "ProxyConfig", apiVersion: "networking.istio.io/v1beta1", spec: &networkingbeta.ProxyConfig{}, bases: []string{`{}`}},
		{kind: "MeshConfig", spec: &meshconfig.MeshConfig{}, bases: meshBases},
	} {
		out = append(out, &w)
	}
	return out
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
	known   map[string]effect // by document
}

func newWorld(t *testing.T) *world {
	t.Helper()
	objects, problems := file.Decode([]byte(worldYAML), "world.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	keys := &model.Object{Key: model.KeySetSource{URL: "https://keys.example"}.Key(), Spec: &model.KeySet{Keys: `{"keys":[]}`}}
	trust := &model.Object{Key: model.Key{Kind: model.KindTrustBundle, Name: "default"}, Spec: &model.TrustBundle{Roots: []string{"root"}}}
	bundle := &model.Object{Key: model.KeySetSource{Bundle: "https://far.example"}.Key(), Spec: &model.SPIFFEBundle{Roots: []string{"far"}}}
	far, problems := file.Decode([]byte(farYAML), "far.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	for _, o := range far {
		o.Cluster = "far"
	}
	w := &world{objects: append(append(objects, far...), keys, trust, bundle), known: map[string]effect{}}
	for _, p := range []Proxy{
		{Name: "client-0", Namespace: "default", IPs: []string{"10.0.0.9"}, Locality: "r/z/s"},
		{Name: "reviews-v1-0", Namespace: "default", IPs: []string{"10.0.0.1"}, LogService: true},
		{Name: "gateway-0", Namespace: "default", IPs: []string{"10.0.0.8"}, Type: model.RouterProxy, Labels: map[string]string{"istio": "ingressgateway"}},
	} {
		m := p.Model()
		m.IstioVersion, m.Metadata = "1.31.0", map[string]string{"x-key": "x"}
		w.proxies = append(w.proxies, m)
	}
	return w
}

// effect adds a document to the world and translates for all proxies.
func (w *world) effect(t *testing.T, document []byte) effect {
	t.Helper()
	if known, ok := w.known[string(document)]; ok {
		return known
	}
	objects, problems := file.Decode(document, "walked.json")
	for _, o := range objects {
		problems = append(problems, validate.Object(o)...)
	}
	r := Snapshot(slices.Concat(w.objects, objects, machines(objects)))
	out := effect{problems: problems}
	for _, p := range w.proxies {
		res := Build(r, p)
		out.problems = append(out.problems, res.Problems...)
		res.Problems = nil
		out.bytes = append(out.bytes, wire(t, res)...)
	}
	sum := sha256.Sum256(out.bytes)
	out.bytes = sum[:] // they are compared only, and thousands of effects are kept
	w.known[string(document)] = out
	return out
}

// machines gives the entries of a machine of each WorkloadGroup, which is connected.
func machines(objects []*model.Object) (out []*model.Object) {
	for _, o := range objects {
		spec, ok := o.Spec.(*networking.WorkloadGroup)
		if !ok {
			continue
		}
		account := cmp.Or(spec.GetTemplate().GetServiceAccount(), model.DefaultServiceAccount)
		node := &push.Node{Proxy: model.Proxy{Name: "vm", Namespace: o.Namespace, IPs: []string{"10.0.0.61"}}, Identity: o.Namespace + "/" + account, Group: o.Name}
		if entry, err := machine.Entry(o, node); err == nil {
			out = append(out, entry)
		}
	}
	return out
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

// judge sets a leaf in the kind's bases.
func (w *walked) judge(t *testing.T, world *world, path []protoreflect.FieldDescriptor) outcome {
	out := outcome{path: pathOf("", path)[1:]}
	for i, base := range w.bases {
		without := w.read(t, base)
		if i > 0 && !has(without.ProtoReflect(), path[:len(path)-1]) {
			continue
		}
		parent(without.ProtoReflect(), path)
		before := world.effect(t, w.document(t, without))
		for _, value := range values(pathOf(w.kind, path), path[len(path)-1]) {
			with := set(without, path, value)
			if with == nil || proto.Equal(with, without) {
				continue
			}
			after := world.effect(t, w.document(t, with))
			if said, why := reported(after.problems, path); why != "" && !out.reported {
				out.reported, out.said, out.why = true, said, why
			}
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

// reported gives what a problem says of a field that has no effect, or of what it is in, at the path where it
// says so; "" for nothing.
func reported(problems []model.Problem, path []protoreflect.FieldDescriptor) (at, why string) {
	names := strings.Split(pathOf("", path), ".")[1:]
	for _, p := range problems {
		said := strings.Split(strings.TrimPrefix(p.Field, "spec."), ".")
		for i := range said {
			said[i], _, _ = strings.Cut(said[i], "[")
		}
		if p.Reason == model.ReasonNotTranslated && len(said) <= len(names) && slices.Equal(said, names[:len(said)]) {
			return strings.Join(said, "."), p.Message
		}
	}
	return "", ""
}

// TestIstioAPI sets every field of every kind that is read here: it changes what proxies get, or acts
// elsewhere, or is known to need no effect, or is a problem. It gives each enumeration each of its values:
// what proxies get differs from what they get with any other, or the value is known to mean the same, or is
// a problem. What comes of it is docs/istio-api.md.
func TestIstioAPI(t *testing.T) {
	kinds := append(walkedKinds(), kubernetesKinds()...)
	t.Run("fields", func(t *testing.T) {
		for _, k := range kinds {
			t.Run(k.name(), func(t *testing.T) {
				t.Parallel()
				k.walk(t, newWorld(t))
			})
		}
	})
	if !t.Failed() && len(kinds) == len(slices.DeleteFunc(slices.Clone(kinds), func(k apiKind) bool { return len(k.found()) == 0 })) {
		checkTables(t, kinds)
		checkDocument(t, kinds)
	}
}

func (w *walked) name() string { return w.kind }

func (w *walked) found() []outcome { return w.outcomes }

// walk finds out what becomes of each leaf.
func (w *walked) walk(t *testing.T, world *world) {
	d := w.spec.ProtoReflect().Descriptor()
	leaves(d, nil, []protoreflect.FullName{d.FullName()}, func(path []protoreflect.FieldDescriptor) {
		name := pathOf(w.kind, path)
		out := w.judge(t, world, path)
		out.elsewhere = actsElsewhere[name] != ""
		silent, left := needNoEffect[name] != "", leftOut[name] != ""
		switch {
		case out.acts && out.reported && !left:
			t.Errorf("%s changes what proxies get, and is reported to have no effect", name)
		case (out.acts || out.reported) && (out.elsewhere || silent):
			t.Errorf("%s is in a table that it needs not be in: %+v", name, out)
		case !out.acts && !out.reported && !out.elsewhere && !silent:
			t.Errorf("%s has no effect, and nothing tells so", name)
		}
		if fd := path[len(path)-1]; fd.Kind() == protoreflect.EnumKind && !fd.IsList() && !out.elsewhere && !silent {
			out.values = w.judgeValues(t, world, path)
		}
		w.outcomes = append(w.outcomes, out)
	})
}

// checkTables looks for rows of fields that there are not.
func checkTables(t *testing.T, kinds []apiKind) {
	seen := map[string]bool{}
	for _, k := range kinds {
		for _, f := range k.found() {
			seen[k.name()+"."+f.path] = true
		}
	}
	for _, table := range []map[string]string{actsElsewhere, needNoEffect, leftOut, kubernetesQuiet} {
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
