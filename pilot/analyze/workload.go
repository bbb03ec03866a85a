package analyze

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
	"istio.io/api/label"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kyaml "sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/lines"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// workload is what pods are made from: a Pod, or the template of a Deployment or of another controller.
type workload struct {
	object *model.Object
	field  string // in which the pod's metadata and spec stand
	meta   metav1.ObjectMeta
	spec   corev1.PodSpec
	proxy  model.ProxyType // of its pods, as mesh.proxyOf decides; "" for none
	none   bool            // it asks for no pods (replicas: 0)
	// running tells that it is a pod that runs, or a machine: of its ports those are known alone that have names.
	running bool
}

// templated gives the workload that an object is; nil for none.
func templated(o *model.Object) *workload {
	w := &workload{object: o}
	switch spec := o.Spec.(type) {
	case *corev1.Pod:
		w.field, w.meta, w.spec = "spec", spec.ObjectMeta, spec.Spec
	case *appsv1.Deployment:
		w.field, w.meta, w.spec = "spec.template", spec.Spec.Template.ObjectMeta, spec.Spec.Template.Spec
		w.none = asksForNone(spec.Spec.Replicas)
	case *podTemplate:
		w.field, w.meta, w.spec = spec.field, spec.ObjectMeta, spec.Spec
		w.none = asksForNone(spec.replicas)
	default:
		return nil
	}
	w.meta.Namespace = o.Namespace
	return w
}

// controllers are the kinds of which the control plane itself sees the pods only, by apiVersion, each with
// where its template stands.
func controllers() map[string]map[model.Kind]string {
	return map[string]map[model.Kind]string{
		"v1":       {"ReplicationController": "spec.template"},
		"apps/v1":  {"StatefulSet": "spec.template", "DaemonSet": "spec.template", "ReplicaSet": "spec.template"},
		"batch/v1": {"Job": "spec.template", "CronJob": "spec.jobTemplate.spec.template"},
	}
}

// podTemplate is the content of a controller.
type podTemplate struct {
	corev1.PodTemplateSpec
	field    string // in which it stands
	replicas *int32 // nil for the default
}

func asksForNone(replicas *int32) bool { return replicas != nil && *replicas == 0 }

// controller reads an object that the source does not, and tells whether its kind is one of controllers,
// which are not without effect here. The object is nil where it has no template.
func (m *mesh) controller(p model.Problem) (o *model.Object, ok bool) {
	if p.Reason != model.ReasonNotTranslated || p.Field != "" {
		return nil, false
	}
	root := m.lines.Object(p.Origin, p.Object)
	version := lines.Child(root, "apiVersion")
	if version == nil {
		return nil, false
	}
	field, ok := controllers()[version.Value][p.Object.Kind]
	if !ok {
		return nil, false
	}
	var meta metav1.ObjectMeta
	spec := &podTemplate{field: field}
	o = &model.Object{Key: p.Object, Origin: p.Origin}
	if !decode(root, "metadata", &meta) || !decode(root, field, &spec.PodTemplateSpec) {
		m.report(o, field, schemaError, Error, "is no template of pods that can be read, so the object makes none; correct it")
		return nil, true
	}
	var selector metav1.LabelSelector
	if version.Value == "apps/v1" && decode(root, "spec.selector", &selector) {
		if at, fault := validate.SelectorFault(&selector, spec.Labels); fault != "" {
			m.report(o, at, schemaError, Error, "%s", fault)
			return nil, true
		}
	}
	var replicas int32
	if decode(root, "spec.replicas", &replicas) {
		spec.replicas = &replicas
	}
	o.Labels, o.Annotations, o.Spec = meta.Labels, meta.Annotations, spec
	m.problems(file.UnreadAnnotations(o, o.Kind, "metadata", o.Annotations))
	m.problems(file.UnreadAnnotations(o, model.KindPod, field+".metadata", spec.Annotations))
	return o, true
}

// decode reads what stands at a path of names, and tells whether anything does that can be read.
func decode(n *yaml.Node, path string, into any) bool {
	for name := range strings.SplitSeq(path, ".") {
		n = lines.Child(n, name)
	}
	if n == nil {
		return false
	}
	var value any // of the node itself: as text it would have aliases without what they stand for
	if n.Decode(&value) != nil {
		return false
	}
	text, err := kyaml.Marshal(value)
	return err == nil && kyaml.Unmarshal(text, into) == nil
}

// String names a workload in messages.
func (w *workload) String() string { return w.object.String() }

// injectLabel gives what the pod says about injection, "" for nothing.
func (w *workload) injectLabel() string {
	return model.PodInjection(w.meta.Labels, w.meta.Annotations)
}

// inCluster gives the objects as a cluster would have them once all runs: with a ready pod of each
// workload, addresses of Services, keys of tokens that are fetched, and what denies in the place of refused objects.
func (m *mesh) inCluster() []*model.Object {
	var out []*model.Object
	addresses := m.clusterIPs()
	for _, o := range m.objects {
		if ip := addresses[o.Key]; ip != "" {
			svc := o.Spec.(*corev1.Service).DeepCopy()
			svc.Spec.ClusterIP = ip
			with := *o
			with.Spec = svc
			o = &with
		}
		switch o.Spec.(type) {
		case *podTemplate, *corev1.Pod: // its pods come below
		default:
			out = append(out, o)
		}
	}
	for i, w := range m.workloads {
		out = append(out, w.pod(i))
	}
	return slices.Concat(out, m.denials, m.keySets())
}

// pod gives one of the workload's pods. i makes its address, unless it is a Pod whose status has one: then it
// stands as the cluster said of it, ready or not. Of a workload that asks for none one stands that is not ready: its proxy
// is known, and it serves nobody.
func (w *workload) pod(i int) *model.Object {
	pod := &corev1.Pod{ObjectMeta: *w.meta.DeepCopy(), Spec: *w.spec.DeepCopy()}
	pod.Name = w.object.Name
	if len(pod.OwnerReferences) == 0 {
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: string(w.object.Kind), Name: w.object.Name}} // which names the workload
	}
	if was, ok := w.object.Spec.(*corev1.Pod); ok && was.Status.PodIP != "" {
		pod.Status = *was.Status.DeepCopy()
	} else {
		ready := map[bool]corev1.ConditionStatus{true: corev1.ConditionFalse, false: corev1.ConditionTrue}[w.none]
		pod.Status = corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: fmt.Sprintf("10.255.%d.%d", i/250, i%250+1),
			Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}},
		}
	}
	pod.Labels = withTLSMode(pod.Labels, w.proxy)
	key := model.Key{Kind: model.KindPod, Namespace: w.object.Namespace, Name: w.podName()}
	pod.Name = key.Name
	return &model.Object{Key: key, Labels: pod.Labels, Annotations: pod.Annotations, Spec: pod, Origin: w.object.Origin}
}

// podName is that of the pod that stands for a workload.
func (w *workload) podName() string {
	if w.running {
		return w.object.Name
	}
	return string(w.object.Kind) + "." + w.object.Name
}

// withTLSMode adds to a pod's labels that it takes the mesh's mutual TLS, as the injector does for sidecars. The pod may
// say otherwise, and gateways take what their servers say.
func withTLSMode(labels map[string]string, proxy model.ProxyType) map[string]string {
	if proxy != model.SidecarProxy || labels[label.SecurityTlsMode.Name] != "" {
		return labels
	}
	out := maps.Clone(labels)
	if out == nil {
		out = map[string]string{}
	}
	out[label.SecurityTlsMode.Name] = model.TLSModeIstio
	return out
}
