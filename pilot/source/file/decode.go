// Package file is the source that reads the mesh's objects from directories of YAML, the same
// YAML that kubectl takes: it decodes and validates them, follows edits, and hands the store
// events and problems. An object that becomes unreadable keeps its last good version.
package file

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/encoding/protojson"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// defaultNamespace is where an object lives whose document names no namespace.
const defaultNamespace = "default"

// meshFile is the name of a file that holds a bare mesh configuration.
const meshFile = "mesh.yaml"

// Decode reads the objects of one file: YAML documents, or JSON, each an object or a List. name
// is the file's path, for messages. What cannot be read is left out and is a problem. Two
// objects of one key in the file are both given, in order.
func Decode(data []byte, name string) ([]*model.Object, []model.Problem) {
	d := decodeFile(data, name)
	return d.objects, d.problems
}

// decoded is what one file holds.
type decoded struct {
	objects  []*model.Object
	problems []model.Problem
	// ignored names the documents of kinds that do not concern a mesh.
	ignored []string
	// broken tells that part of the file does not parse, so that objects may be missing of
	// which not even the key is known.
	broken bool
	// nodes holds what each object was read from, for the lines of its fields.
	nodes map[*model.Object]source
	// invalid holds the keys of objects that are there but cannot be read.
	invalid []model.Key
}

// decoder reads the documents of one file.
type decoder struct {
	name string
	out  decoded
}

func decodeFile(data []byte, name string) decoded {
	d := &decoder{name: name, out: decoded{nodes: map[*model.Object]source{}}}
	if len(data) > maxFileBytes {
		d.out.broken = true
		d.problem(model.Key{}, "", 1, model.SeverityError, model.ReasonInvalid,
			fmt.Sprintf("the file has %d bytes, the limit is %d; split it", len(data), maxFileBytes))
		return d.out
	}
	for _, doc := range splitDocuments(data) {
		root, err := doc.parse()
		if err != nil {
			d.out.broken = true
			d.problem(model.Key{}, "", doc.errorLine(err), model.SeverityError, model.ReasonInvalid,
				"does not parse: "+strings.TrimPrefix(err.Error(), "yaml: "))
			continue
		}
		if filepath.Base(name) == meshFile && lookup(root, "kind") == nil {
			d.mesh(doc.text, doc.line)
			continue
		}
		d.document(doc, root)
	}
	return d.out
}

func (d *decoder) problem(key model.Key, field string, line int, sev model.Severity, reason model.Reason, msg string) {
	d.out.problems = append(d.out.problems, model.Problem{
		Object: key, Field: field, Severity: sev, Reason: reason, Message: msg,
		Origin: model.Origin{File: d.name, Line: line},
	})
}

// invalid reports an object that cannot be read.
func (d *decoder) invalid(key model.Key, field string, line int, msg string) {
	d.out.invalid = append(d.out.invalid, key)
	d.problem(key, field, line, model.SeverityError, model.ReasonInvalid, msg)
}

// document reads one document, an object or a list of them.
func (d *decoder) document(doc document, root *yaml.Node) {
	items := []*yaml.Node{root}
	if kind := lookup(root, "kind"); kind != nil && strings.HasSuffix(kind.Value, "List") {
		if list := lookup(root, "items"); list != nil && list.Kind == yaml.SequenceNode {
			items = list.Content
		}
	}
	for _, item := range items {
		line := doc.line
		if item != root {
			line = doc.base + item.Line - 1
		}
		d.object(item, doc.base, line)
	}
}

// header is what is read of every object, whatever its kind.
type header struct {
	APIVersion string            `json:"apiVersion"`
	Kind       model.Kind        `json:"kind"`
	Metadata   metav1.ObjectMeta `json:"metadata"`
	Spec       json.RawMessage   `json:"spec"`
}

// object reads one object. base is the file's line of the document's first line, line that on
// which the object starts.
func (d *decoder) object(n *yaml.Node, base, line int) {
	text, err := toJSON(n)
	if err != nil {
		var at *lineError
		if errors.As(err, &at) {
			line = base + at.line - 1
		}
		d.unreadable(n, line, err.Error())
		return
	}
	var h header
	if err := json.Unmarshal(text, &h); err != nil {
		d.unreadable(n, line, "metadata does not parse: "+strings.TrimPrefix(err.Error(), "json: "))
		return
	}
	if h.Kind == "" || h.APIVersion == "" {
		d.out.broken = true
		d.problem(model.Key{}, "", line, model.SeverityError, model.ReasonInvalid,
			"is no Kubernetes object: it has no apiVersion or no kind")
		return
	}
	group, version, found := strings.Cut(h.APIVersion, "/")
	if !found {
		group, version = "", h.APIVersion
	}
	src := source{node: n, text: text, base: base, line: line}
	kube, isKube := kubernetesKinds()[h.Kind]
	istio, isIstio := istioKinds()[h.Kind]
	switch {
	case isKube && kube.apiVersion == h.APIVersion:
		d.kubernetes(kube, &h, src)
	case isIstio && istio.group == group && slices.Contains(istio.versions, version):
		d.istio(istio, &h, src)
	case meshGroup(group):
		key := model.Key{Kind: h.Kind, Namespace: namespaceOf(&h), Name: h.Metadata.Name}
		d.problem(key, "", line, model.SeverityError, model.ReasonNotTranslated,
			fmt.Sprintf("%s %s is not translated by this version; the object has no effect", h.APIVersion, h.Kind))
	default:
		d.out.ignored = append(d.out.ignored, fmt.Sprintf("%s %s %s", h.APIVersion, h.Kind, h.Metadata.Name))
	}
}

// unreadable reports an object of which little more than the key can be read, or not even that.
func (d *decoder) unreadable(n *yaml.Node, line int, msg string) {
	key := guessKey(n)
	if key.Kind == "" || key.Name == "" {
		d.out.broken = true
		d.problem(key, "", line, model.SeverityError, model.ReasonInvalid, msg)
		return
	}
	d.invalid(key, "", line, msg)
}

// source is where an object stands: its node, its JSON, and lines of the file.
type source struct {
	node       *yaml.Node
	text       []byte
	base, line int
}

func namespaceOf(h *header) string {
	if h.Metadata.Namespace == "" {
		return defaultNamespace
	}
	return h.Metadata.Namespace
}

// guessKey gives as much of an object's key as its nodes tell.
func guessKey(n *yaml.Node) model.Key {
	var key model.Key
	if kind := lookup(n, "kind"); kind != nil {
		key.Kind = model.Kind(kind.Value)
	}
	if meta := lookup(n, "metadata"); meta != nil {
		if name := lookup(meta, "name"); name != nil {
			key.Name = name.Value
		}
		if ns := lookup(meta, "namespace"); ns != nil {
			key.Namespace = ns.Value
		}
	}
	switch {
	case kubernetesKinds()[key.Kind].clusterScoped:
		key.Namespace = ""
	case key.Namespace == "":
		key.Namespace = defaultNamespace
	}
	return key
}

// kubernetes reads an object of Kubernetes. As with kubectl, an unknown field does no harm, but
// it is told.
func (d *decoder) kubernetes(kind kubernetesKind, h *header, src source) {
	obj := kind.make()
	key := model.Key{Kind: h.Kind, Name: h.Metadata.Name}
	if !kind.clusterScoped {
		key.Namespace = namespaceOf(h)
	}
	if !d.named(key, src) {
		return
	}
	strict, err := kjson.UnmarshalStrict(src.text, obj)
	if err != nil {
		d.invalid(key, "", src.line, "does not parse: "+strings.TrimPrefix(err.Error(), "json: "))
		return
	}
	for _, problem := range strict {
		field := ""
		if named, ok := problem.(kjson.FieldError); ok {
			field = named.FieldPath()
		}
		d.problem(key, field, src.line, model.SeverityWarning, model.ReasonInvalid, problem.Error()+"; it has no effect")
	}
	obj.SetNamespace(key.Namespace)
	d.add(key, h, obj, src)
	if cm, ok := obj.(*corev1.ConfigMap); ok && cm.Namespace == model.RootNamespace && cm.Name == model.MeshConfigName {
		if text, ok := cm.Data[model.MeshConfigMapKey]; ok {
			d.mesh([]byte(text), src.line)
		}
	}
}

// named reports an object without a name.
func (d *decoder) named(key model.Key, src source) bool {
	if key.Name == "" {
		d.out.broken = true
		d.problem(key, "metadata.name", src.line, model.SeverityError, model.ReasonInvalid, "is missing; give the object a name")
		return false
	}
	return true
}

func (d *decoder) add(key model.Key, h *header, spec any, src source) {
	o := &model.Object{
		Key:         key,
		Created:     h.Metadata.CreationTimestamp.Time,
		Labels:      h.Metadata.Labels,
		Annotations: h.Metadata.Annotations,
		Spec:        spec,
		Origin:      model.Origin{File: d.name, Line: src.line},
	}
	d.out.objects = append(d.out.objects, o)
	d.out.nodes[o] = src
}

// mesh reads a mesh configuration.
func (d *decoder) mesh(text []byte, line int) {
	key := model.Key{Kind: model.KindMeshConfig, Namespace: model.RootNamespace, Name: model.MeshConfigName}
	mesh, err := model.ParseMeshConfig(text)
	if err != nil {
		field, reason := "", err.Error()
		if wrong := (*model.DurationError)(nil); errors.As(err, &wrong) {
			field, reason = wrong.Field, wrong.Reason()
		}
		d.invalid(key, field, line, reason)
		return
	}
	d.add(key, &header{}, mesh, source{line: line})
}

// istio reads an object of Istio, in which an unknown field is an error: a misspelt rule must
// not be half in effect.
func (d *decoder) istio(kind istioKind, h *header, src source) {
	key := model.Key{Kind: h.Kind, Namespace: namespaceOf(h), Name: h.Metadata.Name}
	if !d.named(key, src) {
		return
	}
	msg := kind.make()
	spec := h.Spec
	if len(spec) == 0 || string(spec) == "null" {
		spec = json.RawMessage("{}")
	}
	spec, err := model.SecondsJSON(spec, msg.ProtoReflect().Descriptor())
	if err == nil {
		err = protojson.Unmarshal(spec, msg)
	}
	if err != nil {
		field, line, text := explain(err, src)
		d.invalid(key, field, line, text)
		return
	}
	d.add(key, h, msg, src)
}

// jsonPosition and unknownField match what protojson says in its errors.
var (
	jsonPosition = regexp.MustCompile(`\(line (\d+):\d+\)`)
	unknownField = regexp.MustCompile(`unknown field "([^"]*)"`)
)

// explain turns an error of protojson in an object's spec into field, line of the file, and text.
func explain(err error, src source) (field string, line int, text string) {
	if wrong := (*model.DurationError)(nil); errors.As(err, &wrong) {
		field = "spec." + wrong.Field
		return field, src.fieldLine(field), wrong.Reason()
	}
	line, text = src.line, model.ProtoJSONError(err)
	spec := lookup(src.node, "spec")
	m := jsonPosition.FindStringSubmatch(err.Error())
	if m == nil || spec == nil {
		return "spec", line, text
	}
	n, convErr := strconv.Atoi(m[1])
	if convErr != nil {
		return "spec", line, text
	}
	// The spec's JSON begins on the line of its value, and its lines are those of the YAML.
	at := spec.Line + n - 1
	name := ""
	if u := unknownField.FindStringSubmatch(text); u != nil {
		name = u[1]
		text = fmt.Sprintf("unknown field %q; correct its spelling or remove it", name)
	}
	return pathAt(src.node, at, name), src.base + at - 1, text
}

// fieldLine gives the file's line of a field, or of as much of its path as there is.
func (s source) fieldLine(field string) int {
	line, n := s.line, s.node
	path := strings.NewReplacer("[", ".", "]", "").Replace(field)
	for step := range strings.SplitSeq(path, ".") {
		if n != nil && n.Kind == yaml.SequenceNode {
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(n.Content) {
				return line
			}
			n = n.Content[i]
			line = s.base + n.Line - 1
			continue
		}
		at, value := lookupPair(n, step)
		if at == nil {
			return line
		}
		line, n = s.base+at.Line-1, value
	}
	return line
}
