package analyze

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// statefulSet is what a StatefulSet says of the names of its pods.
type statefulSet struct {
	ServiceName string `json:"serviceName"`
	Replicas    *int   `json:"replicas"`
	Ordinals    struct {
		Start int `json:"start"`
	} `json:"ordinals"`
}

// count is how many pods there are, one where nothing is said.
func (s statefulSet) count() int {
	if s.Replicas == nil {
		return 1
	}
	return *s.Replicas
}

// statefulSets gives the workloads that name their pods, by the host of the headless Service under which they do.
func (t *Translation) statefulSets() []podNames {
	var out []podNames
	for i, w := range t.mesh.workloads {
		if w.object.Kind != "StatefulSet" {
			continue
		}
		var set statefulSet
		if root := t.mesh.lines.Object(w.object.Origin, w.object.Key); !decode(root, "spec", &set) || set.ServiceName == "" {
			continue
		}
		for _, svc := range t.mesh.services {
			if svc.Key.Kind == model.KindService && svc.Namespace == w.object.Namespace && svc.Name == set.ServiceName && svc.Headless && model.Selects(svc.Selector, w.meta.Labels) {
				out = append(out, podNames{set, w.object.Name, svc, w.pod(i).Spec.(*corev1.Pod).Status.PodIP})
			}
		}
	}
	return out
}

// podNames are the names of a StatefulSet's pods under a headless Service. All have one address here, since files are
// taken to have one pod of each workload.
type podNames struct {
	statefulSet
	name    string // of the StatefulSet
	service *model.Service
	address string
}

// host gives the pod that a client of a namespace calls by a name.
func (s podNames) host(name, client string) (Host, bool) {
	pod, service, _ := strings.Cut(name, ".")
	ordinal, ok := strings.CutPrefix(pod, s.name+"-")
	n, err := strconv.Atoi(ordinal)
	if !ok || err != nil || strconv.Itoa(n) != ordinal || n < s.Ordinals.Start || n >= s.Ordinals.Start+s.count() || !calledSo(s.service, service, client) {
		return Host{}, false
	}
	out := Host{Name: pod + "." + s.service.Hostname, Addresses: []netip.Addr{netip.MustParseAddr(s.address)}}
	out.take(s.service)
	return out, true
}

// Absent says why a client beside a proxy finds no address for a name that the mesh does not have: it stands under that
// of a headless Service, and no pod has it. It is empty where others may know the name.
func (t *Translation) Absent(p Proxy, name string) string {
	_, service, _ := strings.Cut(model.CanonicalHost(name), ".")
	i := slices.IndexFunc(t.mesh.services, func(svc *model.Service) bool {
		return svc.Headless && svc.Key.Kind == model.KindService && calledSo(svc, service, p.Namespace)
	})
	if i < 0 {
		return ""
	}
	svc := t.mesh.services[i]
	for _, set := range t.statefulSets() {
		if set.service == svc {
			return set.pods()
		}
	}
	return fmt.Sprintf("no pod of the headless Service %s/%s has such a name", svc.Namespace, svc.Name)
}

// pods says which there are.
func (s podNames) pods() string {
	where := fmt.Sprintf("StatefulSet %s/%s", s.service.Namespace, s.name)
	first, last := s.Ordinals.Start, s.Ordinals.Start+s.count()-1
	switch s.count() {
	case 0:
		return where + " has no replicas"
	case 1:
		return fmt.Sprintf("%s has the pod %s-%d only", where, s.name, first)
	}
	return fmt.Sprintf("%s has the pods %s-%d to %s-%d only", where, s.name, first, s.name, last)
}

// namesShown is how many pods of a StatefulSet are named to who mistypes one.
const namesShown = 10

// names are those of the first pods for a client of a namespace.
func (s podNames) names(client string) []string {
	var out []string
	for i := range min(s.count(), namesShown) {
		pod := fmt.Sprintf("%s-%d.", s.name, s.Ordinals.Start+i)
		out = append(out, pod+s.service.Hostname)
		for _, short := range shortNames(s.service.Name, s.service.Namespace, client) {
			out = append(out, pod+short)
		}
	}
	return out
}
