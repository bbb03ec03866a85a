package explain

import (
	"fmt"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/proto"
)

// shops gives routes of hosts, of which one has another path.
func shops(hosts, other int) *routev3.RouteConfiguration {
	out := &routev3.RouteConfiguration{Name: "80"}
	for i := range hosts {
		prefix := "/a"
		if i == other {
			prefix = "/b"
		}
		name := fmt.Sprintf("s%d", i)
		out.VirtualHosts = append(out.VirtualHosts, &routev3.VirtualHost{Name: name + ":80", Domains: []string{name}, Routes: []*routev3.Route{
			answering(&routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: prefix}}, 200),
		}})
	}
	return out
}

// side is a proxy that has a route configuration, beside what all have.
func side(base Side, routes *routev3.RouteConfiguration) Side {
	resources := []proto.Message{routes}
	for _, m := range base.Resources {
		if _, ok := m.(*routev3.RouteConfiguration); !ok {
			resources = append(resources, m)
		}
	}
	return Side{Resources: resources, Config: func() *Config { return NewConfig(resources) }}
}

// What is tried depends on what differs: not on how many hosts there are, nor on how many proxies have them.
func TestOnlyWhatDiffersIsTried(t *testing.T) {
	base := serving(t)
	for _, hosts := range []int{10, 300} {
		before, after := shops(hosts, -1), shops(hosts, 7)
		d := NewDiffer()
		for range 20 {
			if found := d.Diff(side(base, before), side(base, before)); len(found) > 0 || d.Trials > 0 {
				t.Fatalf("%d hosts, nothing changed: %d trials, %v", hosts, d.Trials, found)
			}
		}
		for range 20 {
			d.Diff(side(base, before), side(base, after))
		}
		if d.Trials != 2 {
			t.Errorf("%d hosts, one changed, 20 proxies: %d trials, want one for each of its two paths", hosts, d.Trials)
		}
		again := NewDiffer() // the same in other messages
		if found := again.Diff(side(base, before), side(base, shops(hosts, -1))); len(found) > 0 || again.Trials > 0 {
			t.Errorf("%d hosts, equal: %d trials, %v", hosts, again.Trials, found)
		}
	}
}

func BenchmarkDiff(b *testing.B) {
	base := serving(b)
	before, after := side(base, shops(1000, -1)), side(base, shops(1000, 7))
	for b.Loop() {
		NewDiffer().Diff(before, after)
	}
}
