package analyze

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"istio.io/api/annotation"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// annotations finds annotations of Istio's that do not exist, stand at the wrong kind of object, or are
// deprecated.
func annotations(m *mesh) {
	known := map[string]*annotation.Instance{}
	for _, a := range annotation.AllResourceAnnotations() {
		known[a.Name] = a
	}
	for _, o := range m.objects {
		m.annotated(known, o, "metadata.annotations", o.Annotations, kindOf(o))
	}
	for _, w := range m.workloads {
		if w.object.Kind != model.KindPod {
			m.annotated(known, w.object, w.field+".metadata.annotations", w.meta.Annotations, annotation.Pod)
		}
	}
}

// kindOf gives the kind of an object in the list of annotations; Any where that has none.
func kindOf(o *model.Object) annotation.ResourceTypes {
	switch o.Spec.(type) {
	case *corev1.Pod:
		return annotation.Pod
	case *corev1.Service:
		return annotation.Service
	case *corev1.Namespace:
		return annotation.Namespace
	}
	return annotation.Any
}

func (m *mesh) annotated(known map[string]*annotation.Instance, o *model.Object, field string, all map[string]string, kind annotation.ResourceTypes) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		domain, _, _ := strings.Cut(name, "/")
		if domain != "istio.io" && !strings.HasSuffix(domain, ".istio.io") {
			continue
		}
		switch a := known[name]; {
		case a == nil:
			m.report(o, field, unknownAnnotation, Warning, "there is no annotation %q; correct its spelling, or remove it", name)
		case kind != annotation.Any && !slices.Contains(a.Resources, kind) && !slices.Contains(a.Resources, annotation.Any):
			m.report(o, field, misplacedAnnotation, Warning, "annotation %q has no effect here; it is for %s", name, kinds(a.Resources))
		case a.Deprecated:
			m.report(o, field, deprecatedAnnotation, Info, "annotation %q is deprecated and may have no effect in later versions: %s", name, a.Description)
		}
	}
}

func kinds(all []annotation.ResourceTypes) string {
	var out []string
	for _, k := range all {
		out = append(out, k.String())
	}
	return strings.Join(out, ", ")
}

// deprecatedFields finds fields that Istio's API calls deprecated.
func deprecatedFields(m *mesh) {
	for _, o := range m.objects {
		if spec, ok := o.Spec.(proto.Message); ok {
			root := "spec"
			if o.Kind == model.KindMeshConfig {
				root = ""
			}
			m.deprecatedIn(o, root, spec.ProtoReflect())
		}
	}
}

func (m *mesh) deprecatedIn(o *model.Object, path string, msg protoreflect.Message) {
	msg.Range(func(fd protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		field := strings.TrimPrefix(path+"."+fd.JSONName(), ".")
		if options, ok := fd.Options().(*descriptorpb.FieldOptions); ok && options.GetDeprecated() {
			m.report(o, field, deprecated, Warning, "field %s is deprecated and may have no effect in later versions; see Istio's reference of %s for what takes its place", fd.JSONName(), o.Kind)
		}
		switch {
		case fd.IsMap():
			if fd.MapValue().Message() != nil {
				v.Map().Range(func(k protoreflect.MapKey, v protoreflect.Value) bool {
					m.deprecatedIn(o, fmt.Sprintf("%s[%s]", field, k), v.Message())
					return true
				})
			}
		case fd.Message() == nil:
		case fd.IsList():
			for i := range v.List().Len() {
				m.deprecatedIn(o, fmt.Sprintf("%s[%d]", field, i), v.List().Get(i).Message())
			}
		default:
			m.deprecatedIn(o, field, v.Message())
		}
		return true
	})
}
