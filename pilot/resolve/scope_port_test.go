package resolve_test

import (
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// An egress listener is for the services that have its port, as with Istio. A service whose only port is another one
// would take all that comes to it.
func TestAnEgressListenerIsForServicesWithItsPort(t *testing.T) {
	r := read(t, `
{apiVersion: v1, kind: Service, metadata: {name: db, namespace: default}, spec: {clusterIP: 10.96.0.1, ports: [{name: tcp, port: 5432}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: cache, namespace: default}, spec: {clusterIP: 10.96.0.2, ports: [{name: tcp, port: 6379}]}}
---
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec:
  egress:
  - {port: {number: 6379, protocol: TCP, name: cache}, hosts: [./*]}
  - {port: {number: 5000, protocol: TCP, name: none}, hosts: [./db.default.svc.cluster.local]}
`)
	class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "a-0", Namespace: "default", IPs: []string{"10.0.0.1"}})
	plan := resolve.NewPlan(r, &class)
	for name, want := range map[string]bool{"10.96.0.2_6379": true, "0.0.0.0_6379": false, "10.96.0.1_6379": false, "10.96.0.1_5000": false, "0.0.0.0_5000": false} {
		if plan.HasListener(name) != want {
			t.Errorf("listener %s: %v, want %v", name, !want, want)
		}
	}
	if p := plan.Problems; len(p) != 1 || p[0].Field != "spec.egress[1].port.number" || !strings.Contains(p[0].Message, "5000") {
		t.Errorf("problems %v, want one of port 5000", p)
	}
}
