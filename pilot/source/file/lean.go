package file

import (
	"hash/maphash"
	"maps"
	"slices"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// reduce leaves of an object what a proxy's configuration follows from.
func reduce(o *model.Object) {
	switch obj := o.Spec.(type) {
	case *corev1.Pod:
		*obj = corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{
				Name: obj.Name, Namespace: obj.Namespace, Labels: obj.Labels, Annotations: obj.Annotations,
				CreationTimestamp: obj.CreationTimestamp, DeletionTimestamp: obj.DeletionTimestamp, OwnerReferences: obj.OwnerReferences,
			},
			Spec: corev1.PodSpec{
				ServiceAccountName: obj.Spec.ServiceAccountName, Hostname: obj.Spec.Hostname, Subdomain: obj.Spec.Subdomain,
				Containers: namedPorts(obj.Spec.Containers), InitContainers: namedPorts(obj.Spec.InitContainers),
			},
			Status: corev1.PodStatus{Phase: obj.Status.Phase, PodIP: obj.Status.PodIP, Conditions: readiness(obj.Status.Conditions)},
		}
	case *appsv1.Deployment: // its pods count
		obj.Spec, obj.Status = appsv1.DeploymentSpec{}, appsv1.DeploymentStatus{}
	}
}

// namedPorts gives the containers with ports that a service may name, with only these.
func namedPorts(containers []corev1.Container) []corev1.Container {
	var out []corev1.Container
	for i := range containers {
		ports := slices.DeleteFunc(containers[i].Ports, func(p corev1.ContainerPort) bool { return p.Name == "" })
		if len(ports) > 0 {
			out = append(out, corev1.Container{Ports: ports, RestartPolicy: containers[i].RestartPolicy})
		}
	}
	return out
}

func readiness(conditions []corev1.PodCondition) []corev1.PodCondition {
	for _, c := range conditions {
		if c.Type == corev1.PodReady {
			return []corev1.PodCondition{{Type: c.Type, Status: c.Status}}
		}
	}
	return nil
}

// interner keeps one copy of what many objects have: strings, sets of labels, owners, readiness.
type interner struct {
	mu     sync.Mutex
	seed   maphash.Seed
	texts  map[string]string
	labels map[uint64]map[string]string
	owners map[owner][]metav1.OwnerReference
	ready  map[corev1.PodCondition][]corev1.PodCondition
}

// owner is a pod's only one.
type owner struct {
	apiVersion, kind, name string
	controller             bool
}

// maxInterned bounds the strings that are kept. Beyond it the interner starts anew, and what
// came before stays with its objects only.
const maxInterned = 1 << 16

func newInterner() *interner {
	return &interner{
		seed: maphash.MakeSeed(), texts: map[string]string{}, labels: map[uint64]map[string]string{},
		owners: map[owner][]metav1.OwnerReference{}, ready: map[corev1.PodCondition][]corev1.PodCondition{},
	}
}

// object puts shared strings and labels in the place of the object's own.
func (in *interner) object(o *model.Object) {
	in.mu.Lock()
	defer in.mu.Unlock()
	o.Labels, o.Annotations = in.set(o.Labels), in.set(o.Annotations)
	o.Namespace, o.Origin.File = in.text(o.Namespace), in.text(o.Origin.File)
	if obj, ok := o.Spec.(metav1.Object); ok {
		obj.SetLabels(o.Labels)
		obj.SetAnnotations(o.Annotations)
		obj.SetNamespace(o.Namespace)
	}
	if pod, ok := o.Spec.(*corev1.Pod); ok {
		pod.Spec.ServiceAccountName = in.text(pod.Spec.ServiceAccountName)
		pod.Status.Phase = corev1.PodPhase(in.text(string(pod.Status.Phase)))
	}
}

// lean does the same for an object that was reduced, of which more is alike.
func (in *interner) lean(o *model.Object) {
	in.object(o)
	pod, ok := o.Spec.(*corev1.Pod)
	if !ok {
		return
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(pod.Status.Conditions) == 1 {
		pod.Status.Conditions = shared(in.ready, pod.Status.Conditions[0], pod.Status.Conditions)
	}
	if len(pod.OwnerReferences) == 1 {
		ref := &pod.OwnerReferences[0]
		ref.UID, ref.BlockOwnerDeletion = "", nil
		if ref.Controller == nil {
			return
		}
		ref.Name = in.text(ref.Name)
		pod.OwnerReferences = shared(in.owners, owner{ref.APIVersion, ref.Kind, ref.Name, *ref.Controller}, pod.OwnerReferences)
	}
}

// shared gives the list that is kept for a value, which is this one if there is none.
func shared[K comparable, T any](kept map[K][]T, of K, list []T) []T {
	if one, ok := kept[of]; ok {
		return one
	}
	if len(kept) >= maxInterned {
		clear(kept)
	}
	kept[of] = list
	return list
}

func (in *interner) text(s string) string {
	if s == "" {
		return ""
	}
	if kept, ok := in.texts[s]; ok {
		return kept
	}
	if len(in.texts) >= maxInterned {
		clear(in.texts)
	}
	in.texts[s] = s
	return s
}

// set gives the one copy of a map.
func (in *interner) set(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	hash := uint64(0)
	for k, v := range m {
		hash += maphash.String(in.seed, k) ^ 3*maphash.String(in.seed, v)
	}
	if kept, ok := in.labels[hash]; ok && maps.Equal(kept, m) {
		return kept
	}
	if len(in.labels) >= maxInterned {
		clear(in.labels)
	}
	one := make(map[string]string, len(m))
	for k, v := range m {
		one[in.text(k)] = in.text(v)
	}
	in.labels[hash] = one
	return one
}
