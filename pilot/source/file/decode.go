package file

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kjson "sigs.k8s.io/json"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/kinds"
)

// The names of files that hold bare settings of the mesh: its configuration, and its networks.
const (
	meshFile     = "mesh.yaml"
	networksFile = "meshNetworks.yaml"
)

// Decode reads the objects of one file: YAML documents, or JSON, each an object or a List. name
// is the file's path, for messages. What cannot be read is left out and is a problem. Two
// objects of one key in the file are both given, in order.
func Decode(data []byte, name string) ([]*model.Object, []model.Problem) {
	return DecodeIn("", data, name)
}

// DecodeIn decodes a file whose objects are of a namespace where they name none, "" for the usual one.
func DecodeIn(namespace string, data []byte, name string) ([]*model.Object, []model.Problem) {
	objects, _, problems := Checked(namespace, data, name, nil)
	return objects, problems
}

// Checked reads the objects of one file as DecodeIn does, and leaves out those of which check, nil for none,
// finds that they cannot take effect. What was left out is given too, with what denies in its place.
func Checked(namespace string, data []byte, name string, check func(*model.Object) []model.Problem) ([]*model.Object, []Refusal, []model.Problem) {
	if p, ok := tooLarge(data, name); ok {
		return nil, nil, []model.Problem{p}
	}
	d := &decoder{name: name, namespace: namespace, check: check}
	var all decoded
	for _, doc := range splitDocuments(nil, data) {
		out := d.decode(doc, d.write(doc))
		all.objects, all.problems = append(all.objects, out.objects...), append(all.problems, out.problems...)
		all.invalid = append(all.invalid, out.invalid...)
	}
	return all.objects, all.invalid, all.problems
}

// CheckedMesh reads a file that is a mesh configuration, as Checked does one of objects.
func CheckedMesh(data []byte, name string, check func(*model.Object) []model.Problem) ([]*model.Object, []Refusal, []model.Problem) {
	if p, ok := tooLarge(data, name); ok {
		return nil, nil, []model.Problem{p}
	}
	d := &decoder{name: name, check: check}
	d.mesh(data, 1)
	return d.out.objects, d.out.invalid, d.out.problems
}

func tooLarge(data []byte, name string) (model.Problem, bool) {
	if len(data) <= MaxFileBytes {
		return model.Problem{}, false
	}
	return model.Problem{
		Severity: model.SeverityError, Reason: model.ReasonInvalid, Origin: model.Origin{File: name, Line: 1},
		Message: fmt.Sprintf("the file has %d bytes, the limit is %d; split it", len(data), MaxFileBytes),
	}, true
}

// decoded is what one document holds.
type decoded struct {
	objects  []*model.Object
	problems []model.Problem
	// invalid holds what is there but cannot take effect, unnamed the keys of it that are made up.
	invalid []Refusal
	unnamed []model.Key
	// broken tells that part of the document does not parse, so that objects may be missing of
	// which not even the key is known.
	broken bool
}

// decoder reads documents, one after the other, for one goroutine.
type decoder struct {
	name      string // of the file
	namespace string // of objects that name none; "" for the usual one
	writer    jsonWriter
	types     typedReader
	// check tells what is wrong with an object; nil for none.
	check func(*model.Object) []model.Problem
	// finish makes a good object smaller; nil for none.
	finish func(*model.Object)
	// ignored is told of each document of a kind that does not concern a mesh; nil for nobody.
	ignored func(file, what string)
	effects *effects // made when it is first needed
	out     decoded
}

// write writes a document as JSON if it is a plain one and holds one object.
func (d *decoder) write(doc document) bool {
	return d.writer.plain(doc.text) && !bytes.HasSuffix(d.writer.head.kind, []byte(`List"`))
}

// decode reads a document. written tells that the writer has its JSON.
func (d *decoder) decode(doc document, written bool) decoded {
	d.out = decoded{}
	d.document(doc, written)
	if d.out.broken {
		d.refuseText(doc)
	}
	return d.out
}

func (d *decoder) document(doc document, written bool) {
	base := filepath.Base(d.name)
	bare := base == meshFile || base == networksFile
	if written && !(bare && d.writer.head.kind == nil) {
		d.object(&source{doc: doc, text: d.writer.buf, line: doc.line})
		return
	}
	root, err := doc.parse()
	switch {
	case err != nil:
		d.out.broken = true
		line, what := doc.fault(err)
		d.problem(model.Key{}, "", line, model.SeverityError, model.ReasonInvalid, "does not parse: "+what)
	case base == networksFile && lookup(root, "kind") == nil:
		d.networks(doc.text, doc.line)
	case bare && lookup(root, "kind") == nil:
		d.mesh(doc.text, doc.line)
	default:
		d.nodes(doc, root)
	}
}

func (d *decoder) problem(key model.Key, field string, line int, sev model.Severity, reason model.Reason, msg string) {
	d.out.problems = append(d.out.problems, model.Problem{
		Object: key, Field: field, Severity: sev, Reason: reason, Message: msg,
		Origin: model.Origin{File: d.name, Line: line},
	})
}

// invalid reports an object that cannot be read.
func (d *decoder) invalid(key model.Key, src *source, field string, line int, msg string) {
	d.refuse(key, src, nil, nil)
	d.problem(key, field, line, model.SeverityError, model.ReasonInvalid, msg)
}

// nodes reads an object or a list of them from the YAML parser's nodes.
func (d *decoder) nodes(doc document, root *yaml.Node) {
	items := []*yaml.Node{root}
	if kind := lookup(root, "kind"); kind != nil && strings.HasSuffix(kind.Value, "List") {
		switch list := lookup(root, "items"); {
		case list != nil && list.Kind == yaml.SequenceNode:
			items = list.Content
		case list != nil || kind.Value == "List":
			d.out.broken = true
			d.problem(model.Key{Kind: model.Kind(kind.Value)}, "items", doc.line, model.SeverityError, model.ReasonInvalid,
				"is no list of objects; write each with a dash before it")
			return
		}
	}
	for _, item := range items {
		src := &source{doc: doc, node: item, line: doc.line}
		if item != root {
			src.line = doc.base + item.Line - 1
		}
		d.writer.reset()
		if err := d.writer.node(item, 0, d.writer.omit); err != nil {
			var at *lineError
			if errors.As(err, &at) {
				src.line = doc.base + at.line - 1
			}
			d.unreadable(src, err.Error())
			continue
		}
		src.text = d.writer.buf
		d.object(src)
	}
}

// header is what is read of every object, whatever its kind.
type header struct {
	APIVersion string            `json:"apiVersion"`
	Kind       model.Kind        `json:"kind"`
	Metadata   metav1.ObjectMeta `json:"metadata"`
	Spec       json.RawMessage   `json:"spec"`
	Status     json.RawMessage   `json:"status"`
}

// object reads one object, whose JSON the writer has.
func (d *decoder) object(src *source) {
	head := d.writer.head
	if kind, ok := kinds.KubernetesOf(head.kind); ok && string(head.apiVersion) == kind.QuotedVersion {
		d.kubernetes(kind, src)
		return
	}
	h, strict, err := unmarshalStrict(&d.types, src.text, func() *header { return &header{} })
	if err != nil {
		d.unreadable(src, "metadata does not parse: "+strings.TrimPrefix(err.Error(), "json: "))
		return
	}
	if h.Kind == "" || h.APIVersion == "" {
		d.out.broken = true
		d.problem(model.Key{}, "", src.line, model.SeverityError, model.ReasonInvalid,
			"is no Kubernetes object: it has no apiVersion or no kind")
		return
	}
	group, version := groupVersion(h.APIVersion)
	istio, isIstio := kinds.OfIstio()[h.Kind]
	switch {
	case isIstio && istio.Group == group && slices.Contains(istio.Versions, version):
		d.istio(istio, h, strict, src)
	case h.Kind == "Endpoints" && h.APIVersion == "v1":
		d.endpoints(src)
	default:
		d.foreign(h, src)
	}
}

// unreadable reports an object of which little more than the key can be read, or not even that.
func (d *decoder) unreadable(src *source, msg string) {
	key := d.guessKey(src.root())
	if key.Kind == "" || key.Name == "" {
		d.out.broken = true
		d.problem(key, "", src.line, model.SeverityError, model.ReasonInvalid, msg)
		return
	}
	d.invalid(key, src, "", src.line, msg)
}

// inNamespace gives the namespace of an object that may name none.
func (d *decoder) inNamespace(named string) string {
	return cmp.Or(named, d.namespace, kinds.DefaultNamespace)
}

// guessKey gives as much of an object's key as its nodes tell.
func (d *decoder) guessKey(n *yaml.Node) model.Key {
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
	key.Namespace = d.inNamespace(key.Namespace)
	if kinds.ClusterScoped(key.Kind) {
		key.Namespace = ""
	}
	return key
}

// kubernetes reads an object of Kubernetes. As with kubectl, an unknown field does no harm, but
// it is told.
func (d *decoder) kubernetes(kind kinds.Kubernetes, src *source) {
	obj, strict, err := unmarshalStrict(&d.types, src.text, kind.Make)
	if err != nil {
		d.malformed(kind, src, err)
		return
	}
	d.typed(kind, obj, strict, src)
}

// typed takes an object of Kubernetes that was decoded, with what strict decoding found.
func (d *decoder) typed(kind kinds.Kubernetes, obj metav1.Object, strict []error, src *source) {
	key := kind.Key(d.inNamespace(obj.GetNamespace()), obj.GetName())
	if !d.named(key, src) {
		return
	}
	o := &model.Object{Key: key, Created: obj.GetCreationTimestamp().Time, Labels: obj.GetLabels(), Annotations: obj.GetAnnotations(), Spec: obj}
	var found []model.Problem
	for _, problem := range strict {
		p := d.noEffect(key, fieldOf(problem), problem.Error()+"; it has no effect")
		p.Reason = model.ReasonInvalid
		found = append(found, p)
	}
	found = append(found, d.unread(o, nil, nil, "")...)
	obj.SetNamespace(key.Namespace)
	cm, ok := obj.(*corev1.ConfigMap)
	if !ok {
		d.add(o, found, src)
		return
	}
	data, more := d.meshMap(cm)
	d.add(o, append(found, more...), src)
	if mesh, has := data[model.MeshConfigMapKey]; has {
		d.mesh([]byte(mesh), src.line)
	}
	if networks, has := data[model.MeshNetworksMapKey]; has {
		d.networks([]byte(networks), src.line)
	}
}

// fieldOf gives the field that an error of strict decoding names.
func fieldOf(err error) string {
	if named, ok := err.(kjson.FieldError); ok {
		return named.FieldPath()
	}
	return ""
}

// malformed reports an object of Kubernetes that does not decode.
func (d *decoder) malformed(kind kinds.Kubernetes, src *source, err error) {
	var h header
	if err := json.Unmarshal(src.text, &h); err != nil {
		d.unreadable(src, "metadata does not parse: "+strings.TrimPrefix(err.Error(), "json: "))
		return
	}
	key := kind.Key(d.inNamespace(h.Metadata.Namespace), h.Metadata.Name)
	if d.named(key, src) {
		d.invalid(key, src, "", src.line, "does not parse: "+strings.TrimPrefix(err.Error(), "json: "))
	}
}

// named reports an object without a name.
func (d *decoder) named(key model.Key, src *source) bool {
	if key.Name == "" {
		d.out.broken = true
		d.problem(key, "metadata.name", src.line, model.SeverityError, model.ReasonInvalid, "is missing; give the object a name")
		return false
	}
	return true
}

// add takes an object, with what was found about it, unless the check finds that it cannot take effect. There is no other
// way for an object to come out of a source, on which translation relies.
func (d *decoder) add(o *model.Object, found []model.Problem, src *source) {
	o.Origin = model.Origin{File: d.name, Line: src.line}
	found = append(found, d.annotations(o)...)
	if d.check != nil {
		found = append(found, d.check(o)...)
	}
	for i := range found {
		found[i].Origin.Line = src.fieldLine(found[i].Field)
	}
	d.out.problems = append(d.out.problems, found...)
	if slices.ContainsFunc(found, func(p model.Problem) bool { return p.Severity == model.SeverityError }) {
		d.refuse(o.Key, src, o.Spec, o.Annotations)
		return
	}
	if d.finish != nil {
		d.finish(o)
	}
	d.out.objects = append(d.out.objects, o)
}
