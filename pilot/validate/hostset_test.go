package validate

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Hosts overlap as a comparison with each of them says.
func TestHostSetFindsWhatOverlaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	names := []string{"*", "*.a.b", "*.b", "a.b", "b", "A.b", "c.a.b", "*.c.a.b", "xa.b", "*a.b", "*-a.b", "x-a.b", "*xa.b", "10.0.0.1", "*.0.1", ""}
	covers := func(a, b string) bool { return model.HostCovers(model.CanonicalHost(a), model.CanonicalHost(b)) }
	for range 2000 {
		set, have := newHostSet(), []string{}
		for range r.IntN(5) {
			have = append(have, names[r.IntN(len(names))])
			set.add(have[len(have)-1])
		}
		host := names[r.IntN(len(names))]
		covered, overlap := false, false
		for _, h := range have {
			covered = covered || covers(h, host)
			overlap = overlap || covers(h, host) || covers(host, h)
		}
		if by, ok := set.covering(host); ok != covered || ok && !covers(by, host) {
			t.Fatalf("%q is covered by one of %q: %v, want %v (%q)", host, have, ok, covered, by)
		}
		if by, ok := set.overlap(host); ok != overlap || ok && !covers(by, host) && !covers(host, by) {
			t.Fatalf("%q overlaps with one of %q: %v, want %v (%q)", host, have, ok, overlap, by)
		}
	}
}

// Ten thousand hosts of a VirtualService are not compared with each other.
func TestManyHostsAreNotComparedWithEachOther(t *testing.T) {
	took := func(n int) time.Duration {
		vs := &networking.VirtualService{Gateways: []string{"g"}}
		for i := range n {
			vs.Hosts = append(vs.Hosts, fmt.Sprintf("h%d.example.test", i))
		}
		vs.Tls = []*networking.TLSRoute{{Match: []*networking.TLSMatchAttributes{{SniHosts: vs.Hosts}}, Route: []*networking.RouteDestination{{Destination: &networking.Destination{Host: "a"}}}}}
		start := time.Now()
		if found := Object(&model.Object{Key: model.Key{Kind: model.KindVirtualService, Namespace: "n", Name: "v"}, Spec: vs}); len(found) > 0 {
			t.Fatal(found)
		}
		return time.Since(start)
	}
	few, many := took(1250), took(10000)
	if many > 250*time.Millisecond && many > 32*few { // 8 times as many; the square would be 64
		t.Errorf("1250 hosts take %v, 10000 take %v", few, many)
	}
}
