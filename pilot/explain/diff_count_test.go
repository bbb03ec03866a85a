package explain

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
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

// regexes gives routes by expressions, of which one has another answer.
func regexes(n, other int) *routev3.RouteConfiguration {
	vh := &routev3.VirtualHost{Name: "shop:80", Domains: []string{"shop"}}
	for i := range n {
		status := uint32(200)
		if i == other {
			status = 204
		}
		vh.Routes = append(vh.Routes, answering(&routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{
			SafeRegex: &matcher.RegexMatcher{Regex: fmt.Sprintf("/.*/item-%d/[0-9]+", i)},
		}}, status))
	}
	return &routev3.RouteConfiguration{Name: "80", VirtualHosts: []*routev3.VirtualHost{vh}}
}

// Of many expressions the one is found that has another answer, and none of the others is tried.
func TestOneOfManyExpressions(t *testing.T) {
	base, d := serving(t), NewDiffer()
	var lines []string
	for _, c := range d.Diff(side(base, regexes(2000, -1)), side(base, regexes(2000, 1711))) {
		if c.Request != "" {
			lines = append(lines, c.String())
		}
	}
	if len(lines) != 1 || !strings.Contains(lines[0], "/item-1711/") || !strings.HasSuffix(lines[0], "200 -> 204") || d.Trials > 10 {
		t.Errorf("%d trials, %v", d.Trials, lines)
	}
}

// Of a host that is gone it is told once, whatever routes it had; of one that has others, of each.
func TestHostThatIsGone(t *testing.T) {
	base := serving(t)
	three := func(name string) *routev3.VirtualHost {
		vh := &routev3.VirtualHost{Name: name, Domains: []string{name}}
		for _, path := range []string{"/a", "/b", "/c"} {
			vh.Routes = append(vh.Routes, answering(&routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: path}}, 200))
		}
		return vh
	}
	rest := &routev3.VirtualHost{Name: "rest", Domains: []string{"*"}, Routes: []*routev3.Route{answering(&routev3.RouteMatch{PathSpecifier: anyPath}, 204)}}
	config := func(all ...*routev3.VirtualHost) *routev3.RouteConfiguration {
		return &routev3.RouteConfiguration{Name: "80", VirtualHosts: all}
	}
	for name, c := range map[string]struct {
		before, after *routev3.RouteConfiguration
		want          []string
	}{
		"none for it":    {config(three("shop"), three("other")), config(three("other")), []string{"any request to http://shop:80: 3 routes -> no longer answered, 404 (NR)"}},
		"one for all":    {config(three("shop"), rest), config(rest), []string{"any request to http://shop:80: 3 routes -> 204"}},
		"one route only": {config(&routev3.VirtualHost{Name: "shop", Domains: []string{"shop"}, Routes: three("shop").Routes[:1]}), config(), []string{"GET http://shop:80/a: 200 -> 404 (NR)"}},
		"other routes of it": {config(three("shop")), config(&routev3.VirtualHost{Name: "shop", Domains: []string{"shop"}, Routes: three("shop").Routes[:1]}), []string{
			"GET http://shop:80/b: 200 -> 404 (NR)", "GET http://shop:80/c: 200 -> 404 (NR)",
		}},
	} {
		var lines []string
		for _, change := range NewDiffer().Diff(side(base, c.before), side(base, c.after)) {
			if change.Request != "" {
				lines = append(lines, change.String())
			}
		}
		if !slices.Equal(lines, c.want) {
			t.Errorf("%s: %q, want %q", name, lines, c.want)
		}
	}
}
