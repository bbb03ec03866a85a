package soak

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/bench/mesh"
)

// The cluster of which each edit makes another version, and how its generation stands in it: as milliseconds after the
// first timeout.
const (
	markedCluster = "outbound|80||marked.ns-0.svc.cluster.local"
	firstTimeout  = 1000
)

const marked = `
apiVersion: v1
kind: Service
metadata: {name: marked, namespace: ns-0}
spec: {clusterIP: 10.99.0.1, selector: {app: svc-0}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: marked, namespace: ns-0}
spec: {host: marked, trafficPolicy: {connectionPool: {tcp: {connectTimeout: %dms}}}}
`

// others are objects of kinds that bench/mesh does not edit, with a generation in each. The last is refused.
var others = []string{`
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: "defaultConfig: {concurrency: %d}"}
`, `
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: soak, namespace: ns-1}
spec: {accessLogging: [{filter: {expression: "response.code >= %d"}}]}
`, `
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: soak, namespace: ns-2}
spec: {selector: {app: svc-1}, servers: [{port: {number: %d, name: http, protocol: HTTP}, hosts: ["*"]}]}
`, `
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: soak, namespace: ns-3}
spec: {egress: [{hosts: ["*/*"]}], outboundTrafficPolicy: {mode: ALLOW_ANY}, inboundConnectionPool: {tcp: {maxConnections: %d}}}
`, `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: soak, namespace: ns-2}
spec: {hosts: [soak.example.net], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: soak}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadEntry
metadata: {name: soak, namespace: ns-2}
spec: {address: 10.98.0.1, labels: {app: soak}, weight: %d}
`, `
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: soak, namespace: ns-1}
spec: {jwtRules: [{issuer: issuer-%d, jwks: '{"keys": []}'}]}
`, `
apiVersion: v1
kind: Namespace
metadata: {name: ns-3, labels: {generation: "g%d"}}
`, `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: refused, namespace: ns-1}
spec: {hosts: [marked.ns-0.svc.cluster.local], http: [{timeout: -%ds, route: [{destination: {host: svc-0}}]}]}
`}

// editor changes the mesh.
type editor struct {
	t     *testing.T
	mesh  *mesh.Mesh
	rng   *rand.Rand
	own   string // directory of the objects above
	added int
}

func newEditor(t *testing.T, seed uint64) *editor {
	t.Helper()
	m, err := mesh.New(mesh.Spec{
		Seed: seed, Services: 40, Endpoints: 3, Namespaces: 4, Zones: 2, VirtualServices: 12, DestinationRules: 12,
		Breadth: mesh.Breadth{ServiceEntries: 8, Policies: 8, EnvoyFilters: 4},
	}, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Write(); err != nil {
		t.Fatal(err)
	}
	e := &editor{t: t, mesh: m, rng: rand.New(rand.NewPCG(seed, 0)), own: t.TempDir()}
	e.mark(0)
	return e
}

func (e *editor) dirs() []string { return append(e.mesh.Dirs(), e.own) }

// mark makes the next version of the marked cluster.
func (e *editor) mark(generation int64) {
	e.apply(mesh.Edit{Path: filepath.Join(e.own, "marked.yaml"), Data: fmt.Appendf(nil, marked, firstTimeout+generation)})
}

func (e *editor) apply(edit mesh.Edit) {
	e.t.Helper()
	if _, err := edit.Apply(); err != nil {
		e.t.Fatal(err)
	}
}

// maxAdded bounds the services that are added, so that the mesh does not grow for ever.
const maxAdded = 20

// edit changes something at random.
func (e *editor) edit() {
	service, ordinal := e.rng.IntN(40), e.rng.IntN(3)
	reach := mesh.Reach(e.rng.IntN(3))
	switch n := e.rng.IntN(14); n {
	case 0:
		e.apply(e.mesh.Endpoint(service, ordinal))
	case 1:
		e.apply(e.mesh.Touch(service, ordinal))
	case 2:
		e.apply(e.mesh.Route(reach))
	case 3:
		e.apply(e.mesh.Rule(reach))
	case 4:
		e.apply(e.mesh.Policy())
	case 5:
		e.apply(e.mesh.PolicyOfWorkload())
	case 6:
		e.apply(e.mesh.PolicyOfAll())
	case 7:
		edit, _ := e.mesh.External()
		e.apply(edit)
	case 8:
		e.apply(e.mesh.FilterOfWorkload())
	case 9:
		edit, _ := e.mesh.FilterOfNamespace()
		e.apply(edit)
	case 10:
		if e.added++; e.added <= maxAdded {
			edit, _ := e.mesh.AddService()
			e.apply(edit)
		}
	default:
		e.other(e.rng.IntN(len(others)))
	}
}

// other makes the next version of one of the objects above, or takes it away.
func (e *editor) other(i int) {
	path := filepath.Join(e.own, fmt.Sprintf("other-%d.yaml", i))
	if e.rng.IntN(4) == 0 {
		_ = os.Remove(path) // which may not be there
		return
	}
	e.apply(mesh.Edit{Path: path, Data: fmt.Appendf(nil, others[i], 1+e.rng.IntN(500))})
}

// restore takes away all that was changed.
func (e *editor) restore() {
	e.t.Helper()
	for _, dir := range []string{e.mesh.Dirs()[1], e.own} {
		files, err := filepath.Glob(filepath.Join(dir, "*.yaml"))
		if err != nil {
			e.t.Fatal(err)
		}
		for _, f := range files {
			if filepath.Base(f) == "marked.yaml" {
				continue
			}
			if err := os.Remove(f); err != nil {
				e.t.Fatal(err)
			}
		}
	}
}
