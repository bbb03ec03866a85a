package analyze

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// deprecatedAnnotations finds annotations that Istio calls deprecated. Those that do not exist or have no
// effect are told by the source.
func deprecatedAnnotations(m *mesh) {
	for _, o := range m.objects {
		if _, running := o.Spec.(*model.Pod); !running { // of replicas one tells it
			m.deprecatedAt(o, "metadata", o.Annotations, o.Kind)
		}
	}
	for _, w := range m.workloads {
		switch {
		case w.running:
			m.deprecatedAt(w.object, "metadata", w.meta.Annotations, model.KindPod)
		case w.object.Kind != model.KindPod:
			m.deprecatedAt(w.object, w.field+".metadata", w.meta.Annotations, model.KindPod)
		}
	}
}

func (m *mesh) deprecatedAt(o *model.Object, at string, all map[string]string, kind model.Kind) {
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if a := knownAnnotation(name); a != nil && a.Deprecated && standsAt(a, kind) {
			m.report(o, at+".annotations["+name+"]", deprecatedAnnotation, Info, "annotation %q is deprecated and may have no effect in later versions: %s", name, plainText(a.Description))
		}
	}
}

// markdownLink is a link as Istio's descriptions have it: [text](/page/of/istio.io).
var markdownLink = regexp.MustCompile(`\[([^\]]*)\]\(([^)]*)\)`)

// plainText gives a description for a terminal: on one line, links with their whole address.
func plainText(description string) string {
	out := markdownLink.ReplaceAllStringFunc(description, func(link string) string {
		part := markdownLink.FindStringSubmatch(link)
		if page, ok := strings.CutPrefix(part[2], "/"); ok {
			part[2] = "https://istio.io/latest/" + page
		}
		return part[1] + " (" + part[2] + ")"
	})
	return strings.Join(strings.Fields(strings.ReplaceAll(out, "`", `"`)), " ")
}

// deprecatedFields finds fields that Istio's API calls deprecated.
func deprecatedFields(m *mesh) {
	for _, o := range m.objects {
		if spec, ok := o.Spec.(proto.Message); ok {
			root := "spec"
			if o.Kind == model.KindMeshConfig || o.Kind == model.KindMeshNetworks {
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

// wrongAnnotations finds annotations of pods that get a proxy whose values say nothing that can be done. Such
// a pod is refused.
func wrongAnnotations(m *mesh) {
	for _, w := range m.workloads {
		if w.running || w.proxy == "" || w.bringsProxy() {
			continue
		}
		prefix := strings.TrimSuffix(strings.TrimSuffix(w.field, "spec"), ".")
		for _, wrong := range inject.WrongAnnotations(w.meta.Annotations) {
			field := annotationsField + wrong.Name + "]"
			if prefix != "" {
				field = prefix + "." + field
			}
			m.report(w.object, field, invalidAnnotation, Error, "%v, so the pod is refused; correct it", wrong.Err)
		}
	}
}
