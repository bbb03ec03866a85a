package analyze

import (
	"fmt"
	"slices"

	"istio.io/api/label"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// systemNamespaces need no injection.
func systemNamespaces() []string {
	return append(model.ClusterNamespaces(), model.RootNamespace)
}

// namespace gives a Namespace of the files, or nil: then nothing is known of its labels.
func (m *mesh) namespace(name string) *model.Object {
	return m.object(model.Key{Kind: model.KindNamespace, Name: name})
}

// injectionLabels finds namespaces that say twice who injects.
func injectionLabels(m *mesh) {
	for _, ns := range of[*corev1.Namespace](m, model.KindNamespace) {
		_, injection := ns.Labels[model.LabelInjection]
		if _, revision := ns.Labels[label.IoIstioRev.Name]; injection && revision {
			m.report(ns.Object, "metadata.labels", severalLabels, Warning, "has both labels %s and %s, and the former counts; remove one of them", model.LabelInjection, label.IoIstioRev.Name)
		}
	}
}

// unlabelledNamespaces finds namespaces that say nothing of injection and have pods without a proxy.
func unlabelledNamespaces(m *mesh) {
	for _, ns := range of[*corev1.Namespace](m, model.KindNamespace) {
		_, injection := ns.Labels[model.LabelInjection]
		_, revision := ns.Labels[label.IoIstioRev.Name]
		if injection || revision || slices.Contains(systemNamespaces(), ns.Name) {
			continue
		}
		for _, w := range m.selected(ns.Name, nil) {
			if w.injectLabel() == "" && !w.hasProxy() {
				m.report(ns.Object, "metadata.labels", notInjected, Info, "its pods, as those of %s, get no sidecar; label it %s=enabled, or %s=disabled to say that none is wanted", w, model.LabelInjection, model.LabelInjection)
				break
			}
		}
	}
	for _, w := range m.workloads { // what stands there as a Pod is what a cluster was asked for
		if m.lacksProxy(w) {
			m.report(w.object, "", missingProxy, Warning, "the pod runs without a sidecar though its namespace asks for one; create it anew")
		}
	}
}

// autoImages finds proxies that wait for injection to name their image, and get none.
func autoImages(m *mesh) {
	for _, w := range m.workloads {
		for i, c := range w.spec.Containers {
			if c.Name != model.ProxyContainer || c.Image != autoImage || w.proxy != "" {
				continue
			}
			code, level := autoImageInDeployment, Warning
			if w.object.Kind == model.KindPod {
				code, level = autoImageInPod, Error
			}
			m.report(w.object, fmt.Sprintf("%s.containers[%d].image", w.specField(), i), code, level, "image auto is filled in by injection, and the pod is not injected; label it %s=true", label.SidecarInject.Name)
		}
	}
}

// specField gives the path of the pod's spec.
func (w *workload) specField() string {
	if w.object.Kind == model.KindPod {
		return w.field
	}
	return w.field + ".spec"
}

// proxyUser is the user whose packets are not redirected, since the proxy runs as it.
const proxyUser = 1337

// reservedUser finds applications that run as the proxy's user, whose traffic goes around the proxy.
func reservedUser(m *mesh) {
	for _, w := range m.workloads {
		if s := w.spec.SecurityContext; s != nil && s.RunAsUser != nil && *s.RunAsUser == proxyUser && w.proxy == model.SidecarProxy {
			m.report(w.object, w.specField()+".securityContext.runAsUser", reservedUID, Warning, "user %d is the proxy's own, so the application's traffic goes around the proxy; use another one", proxyUser)
		}
		for i, c := range w.spec.Containers {
			if s := c.SecurityContext; c.Name != model.ProxyContainer && s != nil && s.RunAsUser != nil && *s.RunAsUser == proxyUser {
				m.report(w.object, fmt.Sprintf("%s.containers[%d].securityContext.runAsUser", w.specField(), i), reservedUID, Warning, "user %d is the proxy's own, so the application's traffic goes around the proxy; use another one", proxyUser)
			}
		}
	}
}
