package analyze

import (
	"maps"
	"slices"

	"istio.io/api/label"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/inventory"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// replicas names pods: the one of a name, or those that a controller of a name has.
type replicas struct {
	namespace, name string
	pod             bool
}

// podChange is what files do to a pod that runs.
type podChange struct {
	was, next *model.Object
	gains     model.ProxyType // the kind of proxy that it had none of; "" for none
	loses     bool            // its proxy, be it that the pod goes
}

// apply puts the objects of the files upon those of a mesh, and gives by keys what becomes of pods. What the mesh has
// no pod of stays as a workload.
func (m *mesh) apply(running []*model.Object) map[model.Key]podChange {
	own, templates := map[model.Key]*model.Object{}, map[replicas]*workload{}
	for i, o := range m.objects {
		if w := templated(o); w != nil {
			templates[replicas{o.Namespace, o.Name, o.Kind == model.KindPod}] = w
		} else {
			m.objects[i] = withheld(o)
			own[o.Key] = m.objects[i]
		}
	}
	in := m.namespacesOf(running, own)
	var out []*model.Object
	applied, changed := map[model.Key]bool{}, map[model.Key]podChange{}
	for _, was := range running {
		pod, isPod := was.Spec.(*model.Pod)
		if !isPod {
			if o := own[was.Key]; o != nil {
				applied[o.Key] = true
				was = upon(o, was)
			}
			out = append(out, was)
			continue
		}
		w := templates[replicas{was.Namespace, was.Name, true}]
		if w == nil {
			w = templates[replicas{was.Namespace, pod.Workload, false}]
		}
		c := podChange{was: was, next: was}
		if w != nil {
			applied[w.object.Key] = true
			if w.none {
				c.loses = true
				changed[was.Key] = c
				continue
			}
			c.next = w.renewed(was, pod)
		}
		in.inject(&c, w)
		if c.next != was {
			changed[was.Key] = c
		}
		out = append(out, c.next)
	}
	m.objects = append(out, slices.DeleteFunc(m.objects, func(o *model.Object) bool {
		w := templated(o)
		return applied[o.Key] || w != nil && w.none
	})...)
	return changed
}

// withheld gives a Secret of the files as the control plane tells of its own, so that these are the same where nothing
// but comments and ends of lines differ; other objects as they are.
func withheld(o *model.Object) *model.Object {
	content, ok := o.Spec.(*corev1.Secret)
	if !ok {
		return o
	}
	out := *o
	out.Spec = inventory.Withheld(model.NewSecret(content))
	return &out
}

// upon gives an object of the files with what it keeps of the one that it replaces.
func upon(o, was *model.Object) *model.Object {
	out := *o
	if out.Created.IsZero() {
		out.Created = was.Created
	}
	if out.Status == nil {
		out.Status = was.Status
	}
	switch before := was.Spec.(type) {
	case *corev1.Service:
		svc := o.Spec.(*corev1.Service).DeepCopy()
		if svc.Spec.ClusterIP == "" && svc.Spec.Type != corev1.ServiceTypeExternalName {
			svc.Spec.ClusterIP, svc.Spec.ClusterIPs, svc.Spec.IPFamilies = before.Spec.ClusterIP, before.Spec.ClusterIPs, before.Spec.IPFamilies
		}
		svc.Status = before.Status
		out.Spec = svc
	case *corev1.Namespace:
		ns := o.Spec.(*corev1.Namespace).DeepCopy()
		ns.Labels = maps.Clone(was.Labels) // most are the API server's, or given by hand
		if ns.Labels == nil {
			ns.Labels = map[string]string{}
		}
		maps.Copy(ns.Labels, o.Labels)
		out.Spec, out.Labels = ns, ns.Labels
	}
	return &out
}

// renewed gives a pod as it would be after its template became the workload's.
func (w *workload) renewed(was *model.Object, before *model.Pod) *model.Object {
	meta := metav1.ObjectMeta{Name: was.Name, Namespace: was.Namespace, Labels: maps.Clone(w.meta.Labels), Annotations: w.meta.Annotations}
	if meta.Labels == nil {
		meta.Labels = map[string]string{}
	}
	for name, value := range was.Labels {
		if _, own := meta.Labels[name]; !own && givenByCluster(name) {
			meta.Labels[name] = value
		}
	}
	pod, next := model.NewPod(&corev1.Pod{ObjectMeta: meta, Spec: w.spec}), *before
	next.ServiceAccount, next.Hostname, next.Subdomain = pod.ServiceAccount, pod.Hostname, pod.Subdomain
	next.Ports = append(pod.Ports, slices.DeleteFunc(slices.Clone(before.Ports), func(p model.PodPort) bool { return !ofProxy(p) })...)
	out := *was
	out.Labels, out.Annotations, out.Spec, out.Origin = meta.Labels, meta.Annotations, &next, w.object.Origin
	return &out
}

// givenByCluster tells whether controllers or injection give pods a label, so that no template has it.
func givenByCluster(name string) bool {
	return slices.Contains([]string{
		appsv1.DefaultDeploymentUniqueLabelKey, appsv1.ControllerRevisionHashLabelKey, appsv1.StatefulSetPodNameLabel, appsv1.PodIndexLabel,
		label.SecurityTlsMode.Name, label.ServiceCanonicalName.Name, label.ServiceCanonicalRevision.Name, label.IoIstioRev.Name,
		label.TopologyNetwork.Name, corev1.LabelTopologyRegion, corev1.LabelTopologyZone, label.TopologySubzone.Name,
	}, name)
}

// ofProxy tells whether injection gave a pod a port.
func ofProxy(p model.PodPort) bool { return p.Name == "http-envoy-prom" }
