package translate

import (
	"encoding/json"
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

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
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
	path           string // in the object, without "spec."
	acts, reported bool
	said, why      string            // what is reported, and of which path, which may be of a message around it
	values         map[string]string // values of an enumeration that have no effect, with what is reported
	tried          []trial
	quiet          string // why nobody is expected to get anything else
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
		{kind: "ProxyConfig", apiVersion: "networking.istio.io/v1beta1", spec: &networkingbeta.ProxyConfig{}, bases: proxyConfigBases},
		{kind: "MeshConfig", spec: &meshconfig.MeshConfig{}, bases: meshBases},
		{kind: "MeshNetworks", spec: &meshconfig.MeshNetworks{}, bases: networksBases},
	} {
		out = append(out, &w)
	}
	return out
}

// meshMapKeys are where the ConfigMap of the mesh has the kinds that stand in it.
var meshMapKeys = map[string]string{"MeshConfig": model.MeshConfigMapKey, "MeshNetworks": model.MeshNetworksMapKey}

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
	if key := meshMapKeys[w.kind]; key != "" {
		object = map[string]any{
			"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]string{"name": "istio", "namespace": "istio-system"},
			"data": map[string]string{key: string(data)},
		}
	}
	if data, err = json.Marshal(object); err != nil {
		t.Fatal(err)
	}
	switch w.kind {
	case "Telemetry":
		data = append(data, tracedMesh...)
	case "Sidecar":
		data = append(data, withoutMutualTLS...)
	case "MeshNetworks":
		data = append(data, reachedFromOutside...)
	}
	return data
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

// judge sets a leaf in the kind's bases, to each of the values that its kind of field has to be tried with, and
// notes what comes of it.
func (w *walked) judge(t *testing.T, world *world, path []protoreflect.FieldDescriptor) outcome {
	out := outcome{path: pathOf("", path)[1:]}
	values, stated := values(pathOf(w.kind, path), path[len(path)-1])
	for _, value := range values {
		tr, ok := w.try(t, world, path, value, &out)
		if ok && (stated || tr.acts) {
			out.tried = append(out.tried, tr)
		}
		if out.acts = out.acts || tr.acts; out.acts && !stated {
			if more := two(path[len(path)-1], value); more != "" {
				tr, _ := w.try(t, world, path, more, &out)
				out.tried = append(out.tried, tr)
			}
			return out
		}
	}
	if stated && out.acts && !slices.ContainsFunc(out.tried, func(tr trial) bool { return tr.acts && tr.told }) {
		out.reported, out.why = false, "" // it is said of some values, not of the field
		out.values = map[string]string{}
		for _, tr := range out.tried {
			if tr.told {
				out.values[tr.value] = tr.said
			}
		}
	}
	if out.reported && len(out.tried) == 0 {
		tr, _ := w.try(t, world, path, values[0], &out)
		out.tried = append(out.tried, tr)
	}
	return out
}

// try sets a leaf to a value, in one base after the other until one shows what it does.
func (w *walked) try(t *testing.T, world *world, path []protoreflect.FieldDescriptor, value string, out *outcome) (tr trial, ok bool) {
	for i, base := range w.bases {
		without := w.read(t, base)
		if i > 0 && !has(without.ProtoReflect(), path[:len(path)-1]) {
			continue
		}
		parent(without.ProtoReflect(), path)
		with := set(without, path, value)
		if with == nil || proto.Equal(with, without) {
			continue
		}
		before, after := world.before(t, w.document(t, without)), world.effect(t, w.document(t, with))
		said, why := reported(after.problems, path)
		if why != "" && !out.reported {
			out.reported, out.said, out.why = true, said, why
		}
		now := tried(t, value, base, why, before, after)
		now.acts = !before.same(after) && len(errorsOf(after.problems)) <= len(errorsOf(before.problems))
		now.said, now.told, now.broken = why, why != "", len(errorsOf(before.problems)) > 0
		if !ok || now.rank() > tr.rank() {
			tr, ok = now, true
		}
		if now.acts && !now.broken {
			return tr, true
		}
	}
	return tr, ok
}

// errorsOf gives what refuses the object that is walked, or a part of it.
func errorsOf(problems []model.Problem) []model.Problem {
	return slices.DeleteFunc(slices.Clone(problems), func(p model.Problem) bool {
		return p.Severity != model.SeverityError || p.Object.Name != "walked" && p.Object.Name != "istio"
	})
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

// TestIstioAPI sets every field of every kind that is read here, and every value of each enumeration. What proxies
// get otherwise is stated in testdata/fields, one file for each kind. A field that changes nothing acts elsewhere, or
// is known to need no effect, or is a problem. What comes of it is docs/istio-api.md.
func TestIstioAPI(t *testing.T) {
	kinds, agent := append(walkedKinds(), kubernetesKinds()...), buildAgent(t)
	t.Run("fields", func(t *testing.T) {
		for _, k := range kinds {
			t.Run(k.name(), func(t *testing.T) {
				t.Parallel()
				k.walk(t, newWorld(t, agent))
				checkGolden(t, k.name(), k.found())
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
	if w.kind == "MeshNetworks" {
		world.yield(model.KindMeshNetworks)
	}
	d := w.spec.ProtoReflect().Descriptor()
	leaves(d, nil, []protoreflect.FullName{d.FullName()}, func(path []protoreflect.FieldDescriptor) {
		name := pathOf(w.kind, path)
		out := outcome{path: pathOf("", path)[1:]}
		silent, left := needNoEffect[name] != "", leftOut[name] != ""
		if fd := path[len(path)-1]; fd.Kind() == protoreflect.EnumKind && !fd.IsList() && !silent {
			out = w.judgeValues(t, world, path)
		} else {
			out = w.judge(t, world, path)
		}
		out.quiet = needNoEffect[name]
		switch {
		case out.acts && out.reported && !left && inVain[name] == "":
			t.Errorf("%s has an effect, and is reported to have none", name)
		case (out.acts || out.reported) && out.quiet != "":
			t.Errorf("%s is in a table that it needs not be in: %+v", name, out)
		case !out.acts && !out.reported && out.quiet == "":
			t.Errorf("%s has no effect, and nothing tells so", name)
		}
		if inVain[name] != "" {
			out.acts = false
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
	for _, table := range []map[string]string{needNoEffect, leftOut, inVain, kubernetesQuiet} {
		for name := range table {
			if !seen[name] {
				t.Errorf("%s: there is no such field", name)
			}
		}
	}
}
