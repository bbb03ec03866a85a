package analyze

import (
	"fmt"
	"hash/fnv"
	"maps"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Two Services whose names lead to one address get two, and the same ones in whatever order they are read.
func TestMadeUpAddressesThatMeet(t *testing.T) {
	of := func(name string) *model.Object {
		return &model.Object{Key: model.Key{Kind: model.KindService, Namespace: "a", Name: name}, Spec: &corev1.Service{}}
	}
	first := map[uint32]string{}
	for i := 0; ; i++ {
		name := fmt.Sprintf("s%d", i)
		h := fnv.New32a()
		h.Write([]byte("a/" + name))
		n := h.Sum32() % (1<<16 - 2)
		other, met := first[n]
		if !met {
			first[n] = name
			continue
		}
		one := (&mesh{objects: []*model.Object{of(other), of(name)}}).clusterIPs()
		again := (&mesh{objects: []*model.Object{of(name), of(other)}}).clusterIPs()
		if len(one) != 2 || one[of(name).Key] == one[of(other).Key] || !maps.Equal(one, again) {
			t.Errorf("%s and %s: %v, in the other order %v", other, name, one, again)
		}
		return
	}
}
