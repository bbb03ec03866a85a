package translate

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
)

// Configuration that is as large as it may be, or that leads in a circle, harms only itself: all is valid, and a
// service beside it keeps its route.
func TestBadInputHarmsOnlyItself(t *testing.T) {
	const beside = `{apiVersion: v1, kind: Service, metadata: {name: a, namespace: default}, spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: b, namespace: default}, spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}}
---
`
	rules := func(hosts, rules string) string {
		return "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: default}, spec: {hosts: [" + hosts + "], http: [" + rules + "]}}"
	}
	var many strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&many, "{match: [{uri: {exact: /%d}}], route: [{destination: {host: a}}]}, ", i)
	}
	long := strings.Repeat(strings.Repeat("x", 49)+".", 5) + "com" // of 253 characters
	const to = "{route: [{destination: {host: a}}]}"
	for name, c := range map[string]struct {
		input, host string
		routes      int
		problem     string
	}{
		"10,000 routes":            {rules("a", many.String()+to), "a.default.svc.cluster.local", 10_001, ""},
		"a host of 253 characters": {rules(long, to), long, 1, ""},
		"one more":                 {rules("x"+long, to), "x" + long, 0, "spec.hosts[0]"},
		"a rule that delegates to its own object": {
			rules("a", "{match: [{uri: {prefix: /x}}], delegate: {name: v}}, "+to),
			"a.default.svc.cluster.local", 1, "delegate",
		},
		"delegates in a circle": {
			rules("a", "{match: [{uri: {prefix: /x}}], delegate: {name: w}}, "+to) + `
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: w, namespace: default}, spec: {http: [{delegate: {name: v}}]}}`,
			"a.default.svc.cluster.local", 1, "delegate",
		},
	} {
		t.Run(name, func(t *testing.T) {
			objects, problems := file.Decode([]byte(beside+c.input), "test.yaml")
			var taken []*model.Object // as a source leaves them
			for _, o := range objects {
				if problems = append(problems, validate.Object(o)...); !refused(o) {
					taken = append(taken, o)
				}
			}
			p := Proxy{Name: "client", Namespace: "default", IPs: []string{"10.1.0.9"}}
			built := Build(Snapshot(taken), p.Model())
			validateAll(t, built)
			reported := fmt.Sprint(problems, built.Problems)
			if c.problem == "" && len(problems)+len(built.Problems) > 0 || !strings.Contains(reported, c.problem) {
				t.Errorf("reported is %s, want %q", reported, c.problem)
			}
			if got := routesOf(built, c.host); got != c.routes {
				t.Errorf("%s has %d routes, want %d", c.host, got, c.routes)
			}
			if got := routesOf(built, "b.default.svc.cluster.local"); got != 1 {
				t.Errorf("the service beside it has %d routes", got)
			}
		})
	}
}

// refused tells whether validation keeps an object out of effect.
func refused(o *model.Object) bool {
	return slices.ContainsFunc(validate.Object(o), func(p model.Problem) bool { return p.Severity == model.SeverityError })
}

// routesOf counts the routes of a host on port 80.
func routesOf(r Resources, host string) int {
	for _, config := range r.ByType["routes"] {
		for _, vh := range config.Body.(*routev3.RouteConfiguration).GetVirtualHosts() {
			if config.Name == "80" && vh.GetDomains()[0] == host {
				return len(vh.GetRoutes())
			}
		}
	}
	return 0
}
