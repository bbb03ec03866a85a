package resolve

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// chainOf gives a Reader of a mesh of one service "0", for which alias "1" stands, for which "2" stands, and so on,
// that counts what is read of aliases.
func chainOf(length int) (r Reader, reads *int) {
	objects := make([]*model.Object, 0, length+1)
	for n := range length + 1 {
		svc := &corev1.Service{Spec: corev1.ServiceSpec{ClusterIP: "10.0.0.1"}}
		if n > 0 {
			svc.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: hostNumber(n - 1)}
		}
		objects = append(objects, &model.Object{Key: model.Key{Kind: model.KindService, Namespace: "a", Name: fmt.Sprint(n)}, Spec: svc})
	}
	reads = new(int)
	return store.FromObjects(objects, store.Options{}).Reader(func(row store.Row) {
		if strings.Contains(row.Table, "aliases") && row.Client == "" { // each is looked for in the client's name as well
			*reads++
		}
	}), reads
}

func hostNumber(n int) string { return fmt.Sprintf("%d.a.svc.cluster.local", n) }

// However long a chain of aliases, only so many look at each other, and both directions agree about which count.
func TestChainsOfAliasesAreBounded(t *testing.T) {
	r, reads := chainOf(1000)
	known := aliases(r, "a", hostNumber(0))
	if len(known) != aliasHops {
		t.Errorf("%d hosts stand for the service", len(known))
	}
	for n := range 2 * aliasHops {
		host := hostNumber(n)
		if leads := concrete(r, "a", host) == hostNumber(0); leads != (n == 0 || slices.Contains(known, host)) {
			t.Errorf("alias %s leads to the service: %v", host, leads)
		}
	}
	*reads = 0
	if concrete(r, "a", hostNumber(999)); *reads == 0 || *reads > aliasHops {
		t.Errorf("%d aliases are read", *reads)
	}
}
