package analyze

import (
	"maps"

	"istio.io/api/label"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// namespaces are the Namespaces of a mesh before and after files are applied, by name.
type namespaces struct{ before, after map[string]*model.Object }

// namespacesOf finds the Namespaces of a running mesh and of the files.
func namespacesOf(running []*model.Object, own map[model.Key]*model.Object) namespaces {
	out := namespaces{map[string]*model.Object{}, map[string]*model.Object{}}
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
// labels decide as they do for injection. Where they say the same before and after, all stays as it is: the injector
// may have been told otherwise, which the control plane's objects do not say.
func (in namespaces) inject(c *podChange, w *workload) {
	pod := c.was.Spec.(*model.Pod)
	if c.was.Cluster != "" || pod.HostNetwork {
		return
	}
	former := &workload{object: c.was, meta: metav1.ObjectMeta{Labels: c.was.Labels, Annotations: c.was.Annotations}}
	kind := model.SidecarProxy
	if w == nil {
		w = former
	} else {
		kind = w.proxy()
	}
	before, after := in.before[c.was.Namespace], in.after[c.was.Namespace]
	if before == nil { // then nothing is known of its labels
		after = nil
	}
	did, does := asks(before, former), kind != "" && (w.hasProxy() || asks(after, w))
	if did == does {
		return
	}
	next := *c.next
	if next.Labels = maps.Clone(next.Labels); next.Labels == nil {
		next.Labels = map[string]string{}
	}
	c.next = &next
	if does {
		c.gains, next.Labels[label.SecurityTlsMode.Name] = kind, model.TLSModeIstio
	} else {
		c.loses = true
		delete(next.Labels, label.SecurityTlsMode.Name)
	}
}

// refuse tells whether a new workload gets no proxy. Where its Namespace is not known, its own word counts.
func (in namespaces) refuse(w *workload) bool {
	return !w.hasProxy() && !asks(in.after[w.object.Namespace], w)
}

// asks tells whether pods ask for a proxy, as far as their Namespace is known.
func asks(ns *model.Object, w *workload) bool {
	if ns == nil {
		return w.injectLabel() != "false"
	}
	return injects(ns, w)
}
