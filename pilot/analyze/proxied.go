package analyze

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"istio.io/api/annotation"
	"istio.io/api/label"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/inject"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// injectors decide which pods get a proxy.
type injectors struct {
	policies []inject.Policy
	// others tells that there may be revisions beside these: files alone do not say which a cluster has. Each injects as
	// the first policy does.
	others bool
}

// injectorsOfFiles are those of which nobody has said anything.
func injectorsOfFiles() injectors {
	return injectors{policies: []inject.Policy{inject.DefaultPolicy()}, others: true}
}

// injectorMap is the ConfigMap that configures an injector; those of other revisions end in "-REVISION".
const injectorMap = "istio-sidecar-injector"

// configure takes the settings of injectors that files have, in the place of the usual ones.
func (in *injectors) configure(m *mesh) {
	for _, cm := range of[*corev1.ConfigMap](m, model.KindConfigMap) {
		revision, ok := strings.CutPrefix(cm.Name, injectorMap)
		if !ok || cm.Namespace != model.RootNamespace || revision != "" && revision[0] != '-' {
			continue
		}
		p, err := inject.ReadPolicy([]byte(cm.spec.Data["values"]), []byte(cm.spec.Data["config"]), strings.TrimPrefix(revision, "-"))
		if err != nil {
			m.report(cm.Object, "data", schemaError, Error, "the injector cannot read it: %v", err)
			continue
		}
		in.policies = slices.DeleteFunc(in.policies, func(o inject.Policy) bool { return o.Revision == p.Revision })
		in.policies = append([]inject.Policy{p}, in.policies...)
	}
}

// inject tells whether one of them injects a pod of a Namespace, which is nil where it is not known.
func (in injectors) inject(pod *corev1.Pod, ns *corev1.Namespace) bool {
	if slices.ContainsFunc(in.policies, func(p inject.Policy) bool { return p.InjectsPod(pod, ns) }) {
		return true
	}
	if !in.others || ns == nil {
		return false
	}
	if _, byDefault := ns.Labels[model.LabelInjection]; byDefault {
		return false // which is for the default revision
	}
	p := in.policies[0]
	p.Revision = cmp.Or(ns.Labels[label.IoIstioRev.Name], pod.Labels[label.IoIstioRev.Name], p.Revision)
	known := slices.ContainsFunc(in.policies, func(o inject.Policy) bool { return o.Revision == p.Revision })
	return !known && p.InjectsPod(pod, ns)
}

// injects tells whether pods of a workload are injected, as the injector decides it. ns is nil where nothing is known
// of the Namespace: then its labels decide nothing.
func (m *mesh) injects(ns *model.Object, w *workload) bool {
	var of *corev1.Namespace
	if ns != nil {
		of = ns.Spec.(*corev1.Namespace).DeepCopy()
		of.Name, of.Labels = ns.Name, ns.Labels
	}
	return m.injectors.inject(&corev1.Pod{ObjectMeta: w.meta, Spec: w.spec}, of)
}

// proxyOf decides which proxy the pods of a workload have, "" for none. All tools go by it: the pod brings its proxy,
// or the injector gives it one. ns is nil where nothing is known of the Namespace.
func (m *mesh) proxyOf(ns *model.Object, w *workload) model.ProxyType {
	if !w.bringsProxy() && !m.injects(ns, w) {
		return ""
	}
	templates := strings.Split(w.meta.Annotations[annotation.InjectTemplates.Name], ",")
	if slices.Contains(templates, "gateway") {
		return model.RouterProxy
	}
	if model.ProxyTypeOf(&w.spec) == model.RouterProxy {
		return model.RouterProxy
	}
	return model.SidecarProxy
}

// autoImage stands for the image that injection fills in.
const autoImage = "auto"

// bringsProxy tells whether the pod comes with a proxy in it, which needs no injection.
func (w *workload) bringsProxy() bool {
	c := model.ProxyContainerOf(&w.spec)
	return c != nil && c.Image != autoImage
}

// Bare tells whether a workload is there whose pods have no proxy, and why they have none.
func (t *Translation) Bare(namespace, name string) (why string, ok bool) {
	return t.mesh.bare(namespace, name)
}

func (m *mesh) bare(namespace, name string) (why string, ok bool) {
	if w := m.bareWorkload(namespace, name); w != nil {
		return m.whyBare(w), true
	}
	return "", false
}

// bareWorkload finds a workload whose pods have no proxy; nil for none.
func (m *mesh) bareWorkload(namespace, name string) *workload {
	for _, w := range m.workloads {
		if w.object.Namespace == namespace && w.object.Name == name && w.proxy == "" {
			return w
		}
	}
	return nil
}

// whyBare says why the pods of a workload have no proxy.
func (m *mesh) whyBare(w *workload) string {
	if m.injects(nil, w) {
		return fmt.Sprintf("Namespace %s asks for none by its labels", w.object.Namespace)
	}
	return "its pods keep out of injection by a label, by an annotation or by the host's network, or a policy of the injector keeps them out"
}
