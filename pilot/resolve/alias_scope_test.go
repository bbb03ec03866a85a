package resolve_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// A Sidecar's egress hosts have to name an alias where they name its service, for routes as for DNS.
func TestASidecarNarrowsAliases(t *testing.T) {
	const mesh = `
{apiVersion: v1, kind: Service, metadata: {name: web, namespace: b}, spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: near, namespace: b}, spec: {type: ExternalName, externalName: web.b.svc.cluster.local}}
---
{apiVersion: v1, kind: Service, metadata: {name: far, namespace: c}, spec: {type: ExternalName, externalName: near.b.svc.cluster.local}}
---
{apiVersion: v1, kind: Service, metadata: {name: other, namespace: b}, spec: {clusterIP: 10.96.0.2, ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v, namespace: d}, spec: {hosts: [x.example.com], http: [{route: [{destination: {host: web.b.svc.cluster.local}}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: {name: s, namespace: a}, spec: {egress: [{hosts: [HOSTS]}]}}
`
	const led = `"d/*"` // only a VirtualService leads to the service: it has names, but no routes of its own
	const web, near, far = "web.b.svc.cluster.local", "near.b.svc.cluster.local", "far.c.svc.cluster.local"
	for hosts, want := range map[string][]string{
		`"*/*"`:                            {far, near},
		`"b/*"`:                            {far, near},
		`"b/` + web + `"`:                  nil,
		`"*/` + web + `"`:                  nil,
		`"b/` + web + `", "c/*"`:           nil,
		`"b/` + web + `", "*/` + far + `"`: nil,
		`"b/` + web + `", "b/` + far + `"`: {far},
		`"*/` + web + `", "*/*.c.svc.cluster.local"`: {far},
		`"*/*", "~b/` + near + `"`:                   {far},
		led:                                          {far, near},
	} {
		r := read(t, strings.Replace(mesh, "HOSTS", hosts, 1))
		class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Namespace: "a", DNSDomain: "a.svc.cluster.local", DNSCapture: true})
		plan := resolve.NewPlan(r, &class)
		var routed []string
		if plan.HasRoutes("80") {
			vh, _ := plan.VirtualHost(r, "80", web)
			routed = vh.Domains
		}
		var answered []string
		for _, n := range plan.NameTable(r).Names {
			answered = append(answered, n.Host)
		}
		for _, alias := range []string{far, near} {
			seen := slices.Contains(want, alias)
			if want := seen && hosts != led; slices.Contains(routed, alias) != want {
				t.Errorf("%s: %s among domains %v, want %v", hosts, alias, routed, want)
			}
			if slices.Contains(answered, alias) != seen {
				t.Errorf("%s: %s among names %v, want %v", hosts, alias, answered, seen)
			}
		}
	}
}
