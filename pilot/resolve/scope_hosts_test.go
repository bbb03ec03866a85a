package resolve

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Hosts are covered as a comparison with each of them says.
func TestHostsOfNamespacesCoverAsEachOfThemDoes(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	namespaces := []string{"a", "b"}
	names := []string{"*", "*.a.b", "*.b", "a.b", "b", "c.a.b", "*.c.a.b", "xa.b", "*a.b", ""}
	for range 5000 {
		var have []hostIn
		for range r.IntN(5) {
			have = append(have, hostIn{append(namespaces, "*")[r.IntN(3)], names[r.IntN(len(names))]})
		}
		namespace, host := namespaces[r.IntN(2)], names[r.IntN(len(names))]
		want := slices.ContainsFunc(have, func(h hostIn) bool { return h.covers(namespace, host) })
		if got := newHostsIn(have).covers(namespace, host); got != want {
			t.Fatalf("%q of %q is covered by one of %q: %v, want %v", host, namespace, have, got, want)
		}
	}
}

// A host that a listener names many times counts once.
func TestAListenerKeepsItsHostsOnce(t *testing.T) {
	var hosts []string
	for i := range 1000 {
		hosts = append(hosts, "*/*", fmt.Sprintf("~/x%d.test", i), "a/*")
	}
	e := parseHosts("b", hosts)
	if l := e.listeners[0]; len(l.allow.list) != 2 || len(l.except.list) != 1000 || len(l.except.lengths) != 0 {
		t.Errorf("%d hosts and %d exclusions, want 2 and 1000", len(l.allow.list), len(l.except.list))
	}
	if e.allowHost("a", "x7.test") || !e.allowHost("a", "y.test") {
		t.Error("x7.test is taken out, and y.test is not")
	}
}
