package file

import (
	"hash/maphash"
	"maps"
	"sync"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// reduce leaves of an object what a proxy's configuration follows from.
func reduce(o *model.Object) {
	if spec, ok := model.Reduced(o.Spec); ok {
		o.Spec = spec
	} else if obj, ok := o.Spec.(*appsv1.Deployment); ok { // its pods count
		obj.Spec, obj.Status = appsv1.DeploymentSpec{}, appsv1.DeploymentStatus{}
	}
}

// interner keeps one copy of what many objects have: strings and sets of labels.
type interner struct {
	mu     sync.Mutex
	seed   maphash.Seed
	texts  map[string]string
	labels map[uint64]map[string]string
}

// maxInterned bounds the strings that are kept. Beyond it the interner starts anew, and what
// came before stays with its objects only.
const maxInterned = 1 << 16

func newInterner() *interner {
	return &interner{
		seed: maphash.MakeSeed(), texts: map[string]string{}, labels: map[uint64]map[string]string{},
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

// lean does the same for an object that was reduced.
func (in *interner) lean(o *model.Object) {
	in.object(o)
	if pod, ok := o.Spec.(*model.Pod); ok {
		in.mu.Lock()
		defer in.mu.Unlock()
		pod.ServiceAccount, pod.Workload = in.text(pod.ServiceAccount), in.text(pod.Workload)
		pod.Node = in.text(pod.Node)
		pod.Hostname, pod.Subdomain = in.text(pod.Hostname), in.text(pod.Subdomain)
		for i := range pod.Ports {
			pod.Ports[i].Name = in.text(pod.Ports[i].Name)
		}
	}
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
