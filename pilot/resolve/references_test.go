package resolve_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// TestHostsOfOneVirtualServiceDoNotReadEachOther counts what the units of many hosts of a VirtualService read. Were it
// something of each other host, all of them would read, and keep, the square.
func TestHostsOfOneVirtualServiceDoNotReadEachOther(t *testing.T) {
	const hosts = 50
	var names []string
	services := ""
	for i := range hosts {
		names = append(names, fmt.Sprintf("h%d", i))
		services += serviceYAML(names[i])
	}
	for what, c := range map[string]struct{ gateways, match string }{
		"of every port":                {"[mesh]", "{}"},
		"of a port":                    {"[mesh]", "{port: 8080}"},
		"of a port of a gateway":       {"[gw]", "{port: 80}"},
		"of a port of both":            {"[mesh, gw]", "{port: 80}"},
		"of a port that is not theirs": {"[mesh, gw]", "{port: 1}"},
	} {
		r := read(t, `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: many}
spec:
  hosts: [`+strings.Join(names, ", ")+`]
  gateways: `+c.gateways+`
  http: [{match: [`+c.match+`], directResponse: {status: 404}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw}
spec: {selector: {istio: gw}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]}
`+services)
		units, rows := 0, 0
		count := func(unit func(r resolve.Reader)) {
			read := map[store.Row]bool{}
			unit(r.With(func(row store.Row) { read[row] = true }))
			units, rows = units+1, rows+len(read)
		}
		class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "a-0", Namespace: "default", IPs: []string{"10.0.0.1"}})
		plan := resolve.NewPlan(r, &class)
		for _, host := range plan.Ruled() {
			count(func(r resolve.Reader) { plan.References(r, host) })
		}
		router := resolve.Classify(r, &model.Proxy{Type: model.RouterProxy, Name: "gw-0", Namespace: "default", Labels: map[string]string{"istio": "gw"}})
		gateways := resolve.NewGatewayPlan(r, &router)
		for _, p := range []interface {
			Routes() []string
			Hosts(route string) []string
			VirtualHost(r resolve.Reader, route, host string) (*ir.VirtualHost, []model.Problem)
		}{plan, gateways} {
			for _, route := range p.Routes() {
				for _, host := range p.Hosts(route) {
					count(func(r resolve.Reader) { p.VirtualHost(r, route, host) })
				}
			}
		}
		if units < 2*hosts || rows > 15*units {
			t.Errorf("%s: %d units read %d rows", what, units, rows)
		}
	}
}

// serviceYAML is a service of HTTP.
func serviceYAML(name string) string {
	return "---\napiVersion: v1\nkind: Service\nmetadata: {name: " + name + "}\nspec: {ports: [{name: http, port: 80}, {name: http-b, port: 8080}]}\n"
}

// ruled is a VirtualService that answers a port, or 0 for all.
func ruled(name, hosts string, port int, more string) string {
	match := fmt.Sprintf("{port: %d}", port)
	if port == 0 {
		match = "{}"
	}
	return fmt.Sprintf("---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: %s}\nspec: {hosts: %s, http: [{match: [%s], directResponse: {status: 404}}]%s}\n", name, hosts, match, more)
}

// TestWhatIsWrongWithVirtualServicesIsToldByTheirHosts asks the unit of each host, and of each virtual host, what is
// wrong. The first host tells of an object as a whole, and a wildcard tells once for all of its services what is hidden.
func TestWhatIsWrongWithVirtualServicesIsToldByTheirHosts(t *testing.T) {
	const (
		wildcard = `["*.default.svc.cluster.local"]`
		nowhere  = ", gateways: [mesh, gone]"
		sidecar  = "---\napiVersion: networking.istio.io/v1\nkind: Sidecar\nmetadata: {name: default}\nspec: {egress: [{hosts: [\"%s\"]}]}\n"
	)
	forwarded := func(host string) string {
		return "---\napiVersion: v1\nkind: Service\nmetadata: {name: echo}\nspec: {ports: [{name: http, port: 8000}, {name: http-b, port: 9000}]}\n" +
			"---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec: {hosts: [" + host + "], http: [{route: [{destination: {host: echo}}]}]}\n"
	}
	const unnamed = " a spec.http[0].route[0].destination.port"
	for what, c := range map[string]struct{ yaml, want string }{
		"a port that nobody asks for":   {forwarded("echo"), ""},
		"the port of another service":   {forwarded("web"), "virtual host web.default.svc.cluster.local:" + unnamed + "; virtual host web.default.svc.cluster.local:" + unnamed},
		"the port of no service":        {forwarded("x.example.com"), "virtual host x.example.com:" + unnamed},
		"one of several hosts":          {ruled("a", "[web, x.example.com, y.example.com]", 0, nowhere), "web.default.svc.cluster.local: a spec.gateways[1]"},
		"a wildcard that hides":         {ruled("a", wildcard, 0, "") + ruled("b", wildcard, 0, "") + ruled("c", wildcard, 0, ""), "*.default.svc.cluster.local: b spec.hosts; *.default.svc.cluster.local: c spec.hosts"},
		"a wildcard of a service":       {ruled("a", wildcard, 0, nowhere), "*.default.svc.cluster.local: a spec.gateways[1]"},
		"every name":                    {ruled("a", `["*"]`, 0, nowhere), "*: a spec.gateways[1]"},
		"a name hides no wildcard":      {ruled("a", "[web]", 0, "") + ruled("b", wildcard, 0, ""), ""},
		"of other ports":                {ruled("a", "[web]", 80, "") + ruled("b", "[web]", 8080, ""), ""},
		"of one port":                   {ruled("a", "[web]", 8080, "") + ruled("b", "[web]", 80, "") + ruled("c", "[web]", 8080, ""), "web.default.svc.cluster.local: c spec.hosts"},
		"of one port and of all":        {ruled("a", "[web]", 80, "") + ruled("b", "[web]", 0, ""), "web.default.svc.cluster.local: b spec.hosts"},
		"of a gateway":                  {ruled("a", "[web]", 0, ", gateways: [gone]") + ruled("b", "[web]", 0, ""), "web.default.svc.cluster.local: a spec.gateways[0]"},
		"what the Sidecar leaves out":   {ruled("a", "[b.example.com, a.example.com]", 0, nowhere) + fmt.Sprintf(sidecar, "*/a.example.com"), "a.example.com: a spec.gateways[1]"},
		"a name of a wildcard":          {ruled("a", `["*.example.com"]`, 0, nowhere) + fmt.Sprintf(sidecar, "*/a.example.com"), "a.example.com: a spec.gateways[1]"},
		"a name without its exceptions": {ruled("a", `["*.example.com"]`, 0, nowhere) + fmt.Sprintf(sidecar, `*/a.example.com", "~*/*.example.com`), ""},
	} {
		r := read(t, serviceYAML("web")+serviceYAML("wide")+c.yaml)
		class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "a-0", Namespace: "default", IPs: []string{"10.0.0.1"}})
		plan := resolve.NewPlan(r, &class)
		var told []string
		tell := func(host string, problems []model.Problem) {
			for _, p := range problems {
				told = append(told, host+": "+p.Object.Name+" "+p.Field)
			}
		}
		for _, host := range plan.Ruled() {
			tell(host, plan.References(r, host))
		}
		for _, route := range plan.Routes() {
			for _, host := range plan.Hosts(route) {
				_, problems := plan.VirtualHost(r, route, host)
				tell("virtual host "+host, problems)
			}
		}
		slices.Sort(told)
		if got := strings.Join(told, "; "); got != c.want {
			t.Errorf("%s: %q, want %q", what, got, c.want)
		}
	}
}
