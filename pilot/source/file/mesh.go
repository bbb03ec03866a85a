package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

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

// meshMap gives the mesh configuration of a ConfigMap, if it is the one that holds it.
func (d *decoder) meshMap(cm *corev1.ConfigMap) (mesh string, has bool, found []model.Problem) {
	key := model.Key{Kind: model.KindConfigMap, Namespace: cm.Namespace, Name: cm.Name}
	mesh, has = cm.Data[model.MeshConfigMapKey]
	if cm.Namespace != model.RootNamespace || cm.Name != model.MeshConfigName {
		if has && cm.Name == model.MeshConfigName {
			found = append(found, d.noEffect(key, "data."+model.MeshConfigMapKey,
				"the mesh configuration is read in namespace "+model.RootNamespace+" only"))
		}
		return "", false, found
	}
	for name := range cm.Data {
		if name != model.MeshConfigMapKey {
			found = append(found, d.noEffect(key, "data."+name, "only the key "+model.MeshConfigMapKey+" is read"))
		}
	}
	slices.SortFunc(found, model.CompareProblems)
	return mesh, has, found
}

// mesh reads a mesh configuration. A field that is not known, as one of a newer Istio, is told, and
// the rest is in effect.
func (d *decoder) mesh(text []byte, line int) {
	key := meshKey()
	known, unknown, err := knownMesh(text)
	var mesh *meshconfig.MeshConfig
	if err == nil {
		mesh, err = model.ParseMeshConfig(known)
	}
	if err != nil {
		field, reason := "", err.Error()
		if wrong := (*model.DurationError)(nil); errors.As(err, &wrong) {
			field, reason = wrong.Field, wrong.Reason()
		}
		d.invalid(key, &source{line: line}, field, line, reason)
		return
	}
	o := &model.Object{Key: key, Spec: mesh}
	found := d.unread(o, mesh.ProtoReflect(), model.DefaultMeshConfig().ProtoReflect(), "")
	for _, u := range unknown {
		p := d.noEffect(key, u.field, u.what+"; it has no effect, correct its spelling or remove it")
		p.Reason = model.ReasonInvalid
		found = append(found, p)
	}
	d.add(o, found, &source{line: line})
}

// unknownPart is a part of a message's JSON that its descriptor does not have.
type unknownPart struct{ field, what string }

// knownMesh gives the part of a mesh configuration that is known, as JSON, and what is not.
func knownMesh(text []byte) (known []byte, unknown []unknownPart, err error) {
	data, err := yaml.YAMLToJSON(text)
	if err != nil {
		return nil, nil, fmt.Errorf("mesh configuration: %w", err)
	}
	var tree map[string]any
	if err := json.Unmarshal(data, &tree); err != nil {
		return text, nil, nil // the parser says what is wrong
	}
	unknown = prune(tree, (*meshconfig.MeshConfig)(nil).ProtoReflect().Descriptor(), nil)
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
			unknown = append(unknown, unknownPart{here.path(), "the field is unknown"})
			delete(tree, name)
			continue
		}
		if word, odd := value.(string); odd && unknownEnum(fd, word) {
			unknown = append(unknown, unknownPart{here.path(), fmt.Sprintf("the value %q is unknown", word)})
			delete(tree, name)
			continue
		}
		unknown = append(unknown, pruneValue(value, fd, here)...)
	}
	slices.SortFunc(unknown, func(a, b unknownPart) int { return strings.Compare(a.field, b.field) })
	return unknown
}

func unknownEnum(fd protoreflect.FieldDescriptor, word string) bool {
	return fd.Kind() == protoreflect.EnumKind && !fd.IsList() && !fd.IsMap() &&
		fd.Enum().Values().ByName(protoreflect.Name(word)) == nil
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
