package resolve_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// Of a chain of aliases that is too long, the first one that means nothing says so.
func TestAnAliasThatIsTooFarIsReported(t *testing.T) {
	for _, c := range []struct {
		protocol string
		length   int
		want     string
	}{{"http", 16, ""}, {"http", 17, "a17"}, {"http", 40, "a17"}, {"tcp", 16, ""}, {"tcp", 17, "a17"}, {"tls", 40, "a17"}, {"auto", 40, "a17"}} {
		var mesh strings.Builder
		fmt.Fprintf(&mesh, "{apiVersion: v1, kind: Service, metadata: {name: a0, namespace: b}, spec: {clusterIP: 10.96.0.1, ports: [{name: %s, port: 80}]}}", c.protocol)
		for i := 1; i <= c.length; i++ {
			fmt.Fprintf(&mesh, "\n---\n{apiVersion: v1, kind: Service, metadata: {name: a%d, namespace: b}, spec: {type: ExternalName, externalName: a%d.b.svc.cluster.local}}", i, i-1)
		}
		r := read(t, mesh.String())
		class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Namespace: "a", DNSDomain: "a.svc.cluster.local"})
		plan := resolve.NewPlan(r, &class)
		var problems []model.Problem
		for _, name := range plan.Listeners() {
			_, more := plan.Listener(r, name)
			problems = append(problems, more...)
		}
		for _, route := range plan.Routes() {
			for _, host := range plan.Hosts(route) {
				_, more := plan.VirtualHost(r, route, host)
				problems = append(problems, more...)
			}
		}
		got := ""
		for _, p := range problems {
			got += p.Object.Name
		}
		if got != c.want {
			t.Errorf("%d aliases of %s: %q is reported, want %q (%v)", c.length, c.protocol, got, c.want, problems)
		}
	}
}
