package analyze

import (
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// clusterIPs gives the Services that have no address one of 10.254.0.0/16. It hangs on the Service's name first, and on
// what is taken second, so that two sets of files seldom differ by it, and never by the order of the files.
func (m *mesh) clusterIPs() map[model.Key]string {
	var keys []model.Key
	for _, o := range m.objects {
		if svc, ok := o.Spec.(*corev1.Service); ok && svc.Spec.ClusterIP == "" && len(svc.Spec.ClusterIPs) == 0 && svc.Spec.Type != corev1.ServiceTypeExternalName {
			keys = append(keys, o.Key)
		}
	}
	slices.SortFunc(keys, func(a, b model.Key) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	const most = 1<<16 - 2 // without the first and the last, which are nobody's
	out, taken := map[model.Key]string{}, map[uint32]bool{}
	for _, k := range keys[:min(len(keys), most)] {
		h := fnv.New32a()
		h.Write([]byte(k.Namespace + "/" + k.Name))
		n := h.Sum32() % most
		for taken[n] {
			n = (n + 1) % most
		}
		taken[n] = true
		out[k] = netip.AddrFrom4([4]byte{10, 254, byte((n + 1) >> 8), byte(n + 1)}).String()
	}
	return out
}
