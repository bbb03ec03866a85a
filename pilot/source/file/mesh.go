package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	meshconfig "istio.io/api/mesh/v1alpha1"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// meshKey is the key of the one mesh configuration.
func meshKey() model.Key {
	return model.Key{Kind: model.KindMeshConfig, Namespace: model.RootNamespace, Name: model.MeshConfigName}
}

// meshMap gives what of a ConfigMap configures the mesh, if it is the one that does, and what has no effect.
func (d *decoder) meshMap(cm *corev1.ConfigMap) (data map[string]string, found []model.Problem) {
	key := model.Key{Kind: model.KindConfigMap, Namespace: cm.Namespace, Name: cm.Name}
	if cm.Name != model.MeshConfigName {
		return nil, nil
	}
	for name := range cm.Data {
		ofMesh := name == model.MeshConfigMapKey || name == model.MeshNetworksMapKey
		switch {
		case cm.Namespace == model.RootNamespace && !ofMesh:
			found = append(found, d.noEffect(key, "data."+name, "only the keys "+model.MeshConfigMapKey+" and "+model.MeshNetworksMapKey+" are read"))
		case cm.Namespace != model.RootNamespace && ofMesh:
			found = append(found, d.noEffect(key, "data."+name, "the mesh configuration is read in namespace "+model.RootNamespace+" only"))
		}
	}
	slices.SortFunc(found, model.CompareProblems)
	if cm.Namespace != model.RootNamespace {
		return nil, found
	}
	return cm.Data, found
}

// mesh reads a mesh configuration. A field that is not known, as one of a newer Istio, is told, and
// the rest is in effect. A value that an enumeration does not have refuses it all, as in Istio: without it the field
// would have the enumeration's first value, which is seldom the default.
func (d *decoder) mesh(text []byte, line int) {
	settings(d, text, line, meshKey(), model.ParseMeshConfig, model.DefaultMeshConfig())
}

// networks reads the networks of a mesh in the same way.
func (d *decoder) networks(text []byte, line int) {
	key := meshKey()
	key.Kind = model.KindMeshNetworks
	settings(d, text, line, key, model.ParseMeshNetworks, &meshconfig.MeshNetworks{})
}

// settings reads one of the messages that configure the mesh. What has no effect is told where it is not the default.
func settings[M proto.Message](d *decoder, text []byte, line int, key model.Key, parse func([]byte) (M, error), usual M) {
	known, unknown, err := knownFields(text, usual.ProtoReflect().Descriptor())
	wrong := false
	for _, u := range unknown {
		if u.value {
			wrong = true
			d.invalid(key, &source{line: line}, u.field, line, u.what)
		}
	}
	if wrong {
		return
	}
	var spec M
	if err == nil {
		spec, err = parse(known)
	}
	if err != nil {
		field, reason := "", err.Error()
		if wrong := (*model.DurationError)(nil); errors.As(err, &wrong) {
			field, reason = wrong.Field, wrong.Reason()
		}
		d.invalid(key, &source{line: line}, field, line, reason)
		return
	}
	o := &model.Object{Key: key, Spec: spec}
	found := d.unread(o, spec.ProtoReflect(), usual.ProtoReflect(), "")
	for _, u := range unknown {
		p := d.noEffect(key, u.field, u.what+"; it has no effect, correct its spelling or remove it")
		p.Reason = model.ReasonInvalid
		found = append(found, p)
	}
	d.add(o, found, &source{line: line})
}

// unknownPart is a part of a message's JSON that its descriptor does not have.
type unknownPart struct {
	field, what string
	value       bool // of a field that it has
}

// knownFields gives the part of a message's text that is known, as JSON, and what is not.
func knownFields(text []byte, of protoreflect.MessageDescriptor) (known []byte, unknown []unknownPart, err error) {
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", of.Name(), err)
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		return text, nil, nil // the parser says what is wrong
	}
	unknown = prune(tree, of, nil)
	if len(unknown) == 0 {
		return text, nil, nil
	}
	known, err = json.Marshal(tree)
	return known, unknown, err
}

// prune takes out of a message's JSON what its descriptor does not have.
func prune(tree map[string]any, m protoreflect.MessageDescriptor, at *where) (unknown []unknownPart) {
	for name, value := range tree {
		here := &where{at, name}
		fd := m.Fields().ByJSONName(name)
		if fd == nil {
			fd = m.Fields().ByTextName(name)
		}
		if fd == nil {
			unknown = append(unknown, unknownPart{field: here.path(), what: "the field is unknown"})
			delete(tree, name)
			continue
		}
		if fd.Kind() == protoreflect.EnumKind {
			unknown = append(unknown, unknownValues(value, fd.Enum(), here)...)
			continue
		}
		unknown = append(unknown, pruneValue(value, fd, here)...)
	}
	slices.SortFunc(unknown, func(a, b unknownPart) int { return strings.Compare(a.field, b.field) })
	return unknown
}

// unknownValues tells which names of a field, or of the items of a list, an enumeration does not have.
func unknownValues(value any, enum protoreflect.EnumDescriptor, at *where) (unknown []unknownPart) {
	switch v := value.(type) {
	case string:
		if enum.Values().ByName(protoreflect.Name(v)) == nil {
			what := fmt.Sprintf("%q is none of its values; use %s", v, strings.Join(valuesOf(enum), ", "))
			unknown = append(unknown, unknownPart{at.path(), what, true})
		}
	case []any:
		for i := range v {
			unknown = append(unknown, unknownValues(v[i], enum, &where{at, item(i)})...)
		}
	}
	return unknown
}

func pruneValue(value any, fd protoreflect.FieldDescriptor, at *where) (unknown []unknownPart) {
	m := fd.Message()
	if fd.IsMap() {
		m = fd.MapValue().Message()
	}
	if m == nil || m.ParentFile().Package() == "google.protobuf" {
		return nil
	}
	switch v := value.(type) {
	case []any:
		for i := range v {
			if inner, ok := v[i].(map[string]any); ok && fd.IsList() {
				unknown = append(unknown, prune(inner, m, &where{at, item(i)})...)
			}
		}
	case map[string]any:
		if !fd.IsMap() {
			return prune(v, m, at)
		}
		for key := range v {
			if inner, ok := v[key].(map[string]any); ok {
				unknown = append(unknown, prune(inner, m, &where{at, "[" + key + "]"})...)
			}
		}
	}
	return unknown
}
