package analyze

import (
	"maps"

	"istio.io/api/label"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// namespaces are the Namespaces of a mesh before and after files are applied, by name.
type namespaces struct {
	*mesh
	before, after map[string]*model.Object
}

// namespacesOf finds the Namespaces of a running mesh and of the files.
func (m *mesh) namespacesOf(running []*model.Object, own map[model.Key]*model.Object) namespaces {
	out := namespaces{m, map[string]*model.Object{}, map[string]*model.Object{}}
	for key, o := range own {
		if key.Kind == model.KindNamespace {
			out.after[key.Name] = o
		}
	}
	for _, was := range running {
		if was.Kind != model.KindNamespace || was.Cluster != "" {
			continue
		}
		out.before[was.Name], out.after[was.Name] = was, was
		if o := own[was.Key]; o != nil {
			out.after[was.Name] = upon(o, was)
		}
	}
	return out
}

// inject decides whether a pod gains or loses its proxy, once it is made anew: of template w, nil for its own. The
// injector's own decision counts. Where it is the same before and after, all stays as it is: what the pod has it may
// have by other settings, or by hand.
func (in namespaces) inject(c *podChange, w *workload) {
	pod := c.was.Spec.(*model.Pod)
	if c.was.Cluster != "" {
		return
	}
	former := &workload{
		object: c.was, meta: metav1.ObjectMeta{Labels: c.was.Labels, Annotations: c.was.Annotations}, spec: corev1.PodSpec{HostNetwork: pod.HostNetwork},
	}
	if w == nil {
		w = former
	}
	before, after := in.before[c.was.Namespace], in.after[c.was.Namespace]
	if before == nil { // then nothing is known of its labels
		after = nil
	}
	did, does := in.proxyOf(before, former), in.proxyOf(after, w)
	if (did != "") == (does != "") {
		return
	}
	next := *c.next
	c.next = &next
	if does != "" {
		c.gains, next.Labels = does, withTLSMode(next.Labels, does)
	} else {
		c.loses, next.Labels = true, maps.Clone(next.Labels)
		delete(next.Labels, label.SecurityTlsMode.Name)
	}
}
