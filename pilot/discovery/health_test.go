package discovery

import (
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const machines = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: default}
spec: {hosts: [db.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: db}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: db-1, namespace: default, annotations: {proxy.istio.io/health-checks-enabled: "true"}}
spec: {address: 10.9.0.1, serviceAccount: db, labels: {app: db}}
`

// TestAMachineIsInServiceWhileItSaysSo follows what an agent says to the endpoints of its service, without a cluster.
func TestAMachineIsInServiceWhileItSaysSo(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", machines)
	p := newPlane(testConfig(t, dir))
	serve(t, p.run)
	envoytest.Eventually(t, "serving", p.serving.Load)
	health := func(want model.Health) func() bool {
		return func() bool {
			all := p.store.Snapshot().Reader(nil).Endpoints(model.ServiceID{Namespace: "default", Hostname: "db.example.com"})
			return len(all) == 1 && all[0].Health == want
		}
	}
	says := func(well bool) {
		p.machines.Health(xds.Health{
			Node:   &push.Node{Proxy: model.Proxy{Name: "db-1", Namespace: "default", IPs: []string{"10.9.0.1"}}, Identity: "default/db"},
			Stream: "1", Healthy: well,
		})
	}
	envoytest.Eventually(t, "a machine that said nothing is not in service", health(model.Unhealthy))
	says(true)
	envoytest.Eventually(t, "one that is well is in service", health(model.Healthy))
	says(false)
	envoytest.Eventually(t, "one that is ill is not", health(model.Unhealthy))
}
