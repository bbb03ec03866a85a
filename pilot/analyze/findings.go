package analyze

import (
	"context"
	"slices"

	"istio.io/api/annotation"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
)

// Findings gives what is wrong with the mesh: what its control plane has said, and what shows when its objects are seen
// side by side. With files all is as it would be if these were applied, which Compare tells of. The error is ctx's.
func (r *Running) Findings(ctx context.Context, said []model.Problem, files []File) ([]Finding, error) {
	m, connected := r.decoded(nil), r.Proxies
	made := map[model.Problem]bool{} // of what proxies get
	if len(files) == 0 {
		m.apply(r.Objects)
		m.settle()
	} else {
		var now *mesh
		now, m, connected = r.applied(files)
		now.takeRunning(r.Proxies)
		before, err := now.told(ctx, now.proxies(r.Proxies), r.Settings)
		if err != nil {
			return nil, err
		}
		note(made, before)
	}
	m.takeRunning(connected)
	told, err := m.told(ctx, m.proxies(connected), r.Settings)
	if err != nil {
		return nil, err
	}
	note(made, told)
	own := mentioned(files) // which were read anew
	m.problems(slices.DeleteFunc(slices.Clone(said), func(p model.Problem) bool { return own[p.Object] || made[p.OfAnyProxy().OfAnyone()] }))
	m.problems(told)
	found := m.compared()
	return slices.DeleteFunc(found, func(f Finding) bool { return file.IsDenial(f.Object) }), nil // the refusal is told
}

// note notes problems, whoever has them.
func note(all map[model.Problem]bool, problems []model.Problem) {
	for _, p := range problems {
		all[p.OfAnyProxy().OfAnyone()] = true
	}
}

// mentioned gives the keys of the objects of files, also of refused ones.
func mentioned(files []File) map[model.Key]bool {
	out := map[model.Key]bool{}
	for _, f := range files {
		objects, refused, _ := f.checked()
		for _, o := range objects {
			out[o.Key] = true
		}
		for _, o := range refused {
			out[o.Key] = true
		}
	}
	return out
}

// takeRunning adds to the workloads the pods that run, of which replicas with the same labels are one, and the
// machines that are connected.
func (m *mesh) takeRunning(connected []model.Proxy) {
	kinds := map[model.Key]model.ProxyType{}
	for i := range connected {
		p := &connected[i]
		if at := resolve.WorkloadOf(m.reader, p); at.Pod != nil {
			kinds[at.Pod.Key] = p.Type
		} else {
			key := model.Key{Kind: model.KindPod, Namespace: p.Namespace, Name: p.Name}
			m.addWorkload(&workload{
				object: &model.Object{Key: key, Labels: p.Labels}, meta: metav1.ObjectMeta{Namespace: p.Namespace, Labels: p.Labels},
				proxy: p.Type, running: true,
			})
		}
	}
	known := map[replicas]map[string]*workload{} // by labels
	for _, o := range m.ofKind(model.KindPod) {
		pod, ok := o.Spec.(*model.Pod)
		if !ok || pod.Ended {
			continue
		}
		of, labels := replicas{namespace: o.Namespace, name: pod.Workload}, model.LabelSet(o.Labels)
		if w := known[of][labels]; w != nil && pod.Workload != "" {
			m.index.pods[o.Namespace+"/"+o.Name] = w
			continue
		}
		w := runningWorkload(o, pod)
		if known[of] == nil {
			known[of] = map[string]*workload{}
		}
		known[of][labels] = w
		w.proxy = kinds[o.Key]
		m.addWorkload(w)
	}
}

// runningWorkload gives a pod that runs as what pods are made from.
func runningWorkload(o *model.Object, pod *model.Pod) *workload {
	c := corev1.Container{}
	for _, p := range pod.Ports {
		port := corev1.ContainerPort{Name: p.Name, ContainerPort: int32(p.Number), Protocol: corev1.ProtocolTCP}
		if p.UDP {
			port.Protocol = corev1.ProtocolUDP
		}
		c.Ports = append(c.Ports, port)
	}
	return &workload{
		object: o, field: "spec", running: true,
		meta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name, Labels: o.Labels, Annotations: o.Annotations},
		spec: corev1.PodSpec{ServiceAccountName: pod.ServiceAccount, HostNetwork: pod.HostNetwork, Containers: []corev1.Container{c}},
	}
}

// addWorkload notes a workload.
func (m *mesh) addWorkload(w *workload) {
	m.workloads = append(m.workloads, w)
	m.index.workloads.add(w, w.object.Namespace, w.meta.Labels)
	m.index.pods[w.object.Namespace+"/"+w.podName()] = w
}

// hasProxy tells whether a workload's pods have a proxy, also one that is not connected.
func (w *workload) hasProxy() bool {
	return w.proxy != "" || w.meta.Annotations[annotation.SidecarStatus.Name] != ""
}

// lacksProxy tells whether a workload is a pod that runs without the proxy for which its namespace asks.
func (m *mesh) lacksProxy(w *workload) bool {
	ns := m.namespace(w.object.Namespace)
	if ns == nil || w.object.Kind != model.KindPod || w.object.Cluster != "" {
		return false
	}
	if w.running {
		return !w.hasProxy() && m.injects(ns, w)
	}
	return w.proxy != "" && model.ProxyContainerOf(&w.spec) == nil && w.object.Spec.(*corev1.Pod).Status.Phase == corev1.PodRunning
}
