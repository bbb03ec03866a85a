package store

import (
	"cmp"
	"maps"
	"strings"

	"istio.io/api/annotation"
	metav1alpha1 "istio.io/api/meta/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// entryWorkloadName names what a WorkloadEntry is a replica of: what it says, its group, or itself.
func entryWorkloadName(o *model.Object) string {
	return cmp.Or(o.Labels["service.istio.io/workload-name"], o.Annotations[annotation.IoIstioAutoRegistrationGroup.Name], o.Name)
}

// entryHealthy tells whether a WorkloadEntry is in service: one that is not probed always, another once
// its condition says so.
func entryHealthy(o *model.Object) bool {
	if !model.HealthChecked(o) {
		return true
	}
	status, _ := o.Status.(*metav1alpha1.IstioStatus)
	for _, c := range status.GetConditions() {
		if c.GetType() == model.ConditionHealthy {
			return strings.EqualFold(c.GetStatus(), "true")
		}
	}
	return false
}

// sameWorkloadEntry tells whether two versions of a WorkloadEntry lead to the same endpoints.
func sameWorkloadEntry(a, b *model.Object) bool {
	return model.SameSpec(a, b) && maps.Equal(a.Labels, b.Labels) &&
		entryWorkloadName(a) == entryWorkloadName(b) && entryHealthy(a) == entryHealthy(b) && saysShort(a) == saysShort(b)
}

// saysShort tells whether the proxy of a WorkloadEntry is known to read the short form in which proxies say who they are.
func saysShort(o *model.Object) bool { return o.Annotations[model.AnnotationPeers] == model.PeersShort }
