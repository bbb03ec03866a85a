package analyze

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// What selectors match is found as by a comparison with all that there is, in the same order.
func TestLabelledFindsWhatSelectorsMatch(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	one := func(of ...string) string { return of[r.IntN(len(of))] }
	labels := func(most int) map[string]string {
		out := map[string]string{}
		for range r.IntN(most + 1) {
			out[one("app", "version", "")] = one("a", "b", "")
		}
		return out
	}
	type item struct {
		namespace string
		labels    map[string]string
	}
	for range 300 {
		all, found := []item{}, newLabelled[int]()
		for i := range 20 {
			all = append(all, item{one("n", "m", ""), labels(3)})
			found.add(i, all[i].namespace, all[i].labels)
		}
		for range 20 {
			namespace, selector := one("", "n", "m", "none"), labels(2)
			var want []int
			for i, x := range all {
				if (namespace == "" || namespace == x.namespace) && model.HasLabels(x.labels, selector) {
					want = append(want, i)
				}
			}
			if got := found.selected(namespace, selector); !slices.Equal(got, want) {
				t.Fatalf("namespace %q, selector %v: %v, want %v of %v", namespace, selector, got, want, all)
			}
		}
	}
}

// A subset is one of the very host, or of a rule for a host that covers it.
func TestSubsetsOfHosts(t *testing.T) {
	var files []File
	for i, rule := range []string{"{host: cart, subsets: [{name: v1, labels: {a: b}}]}", `{host: "*.shop.svc.cluster.local", subsets: [{name: wide, labels: {a: b}}]}`} {
		files = append(files, File{Name: fmt.Sprint(i), Data: fmt.Appendf(nil, "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: r%d, namespace: shop}, spec: %s}", i, rule)})
	}
	m := load(files)
	if n := len(of[*networking.DestinationRule](m, model.KindDestinationRule)); n != len(files) {
		t.Fatalf("%d rules: %v", n, m.findings)
	}
	has := map[string]bool{}
	for _, host := range []string{"cart.shop.svc.cluster.local", "pay.shop.svc.cluster.local", "cart.other.svc.cluster.local"} {
		for _, name := range []string{"v1", "wide"} {
			if m.subsets().has(host, name) {
				has[host+" "+name] = true
			}
		}
	}
	want := []string{"cart.shop.svc.cluster.local v1", "cart.shop.svc.cluster.local wide", "pay.shop.svc.cluster.local wide"}
	if got := slices.Sorted(maps.Keys(has)); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
