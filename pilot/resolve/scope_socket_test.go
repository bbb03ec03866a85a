package resolve_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

const oneSocketYAML = `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: data}
spec: {clusterIP: 10.96.0.1, ports: [{name: tcp, port: 5432}]}
---
apiVersion: v1
kind: Service
metadata: {name: b, namespace: data}
spec: {clusterIP: 10.96.0.2, ports: [{name: tcp, port: 5433}]}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec:
  egress:
`

// What a Unix socket cannot have is reported at the Sidecar alone, once: a second listener, and services that nothing
// tells apart there.
func TestWhatASocketCannotHave(t *testing.T) {
	listener := func(protocol, hosts string) string {
		return fmt.Sprintf(`  - {port: {number: 0, name: x, protocol: %s}, bind: "unix:///tmp/x", hosts: [%q]}`+"\n", protocol, hosts)
	}
	const one = "data/a.data.svc.cluster.local"
	for name, c := range map[string]struct {
		egress, field string
		severity      model.Severity
	}{
		"one service":       {listener("TCP", one), "", ""},
		"one of two":        {listener("TCP", "*/*"), "spec.egress[0].hosts", model.SeverityWarning},
		"told by their TLS": {listener("TLS", "*/*"), "", ""},
		"any of HTTP":       {listener("HTTP", "*/*"), "", ""},
		"a second listener": {listener("TCP", one) + listener("HTTP", "*/*"), "spec.egress[1].bind", model.SeverityError},
		"a second proxy":    {listener("HTTP_PROXY", one) + listener("HTTP_PROXY", "*/*"), "spec.egress[1].bind", model.SeverityError},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, oneSocketYAML+c.egress)
			class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "a-0", Namespace: "default", IPs: []string{"10.0.0.1"}})
			plan := resolve.NewPlan(r, &class)
			if !plan.HasListener("unix:///tmp/x") {
				t.Error("there is no listener")
			}
			problems := plan.Problems
			switch {
			case c.field == "" && len(problems) > 0:
				t.Errorf("%v, want nothing", problems)
			case c.field != "" && (len(problems) != 1 || problems[0].Object.Kind != model.KindSidecar || problems[0].Field != c.field || problems[0].Severity != c.severity):
				t.Errorf("%v, want one at %s", problems, c.field)
			}
			if l, _ := plan.Listener(r, "unix:///tmp/x"); name == "one of two" && !strings.Contains(fmt.Sprintf("%+v", l.Chains[0].Filters[0]), "outbound|5432||a.data.svc.cluster.local") {
				t.Errorf("the first service has not got the listener: %+v", l.Chains[0].Filters[0])
			}
		})
	}
}
