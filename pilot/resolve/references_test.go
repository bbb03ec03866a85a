package resolve_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// TestHostsOfOneVirtualServiceDoNotReadEachOther counts what each of many hosts of a VirtualService reads: were it
// something of each other host, all of them would read, and keep, the square.
func TestHostsOfOneVirtualServiceDoNotReadEachOther(t *testing.T) {
	const hosts = 50
	var names []string
	for i := range hosts {
		names = append(names, fmt.Sprintf("h%d.example.com", i))
	}
	r := read(t, `apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: many}
spec:
  hosts: [`+strings.Join(names, ", ")+`]
  http: [{directResponse: {status: 404}}]
`)
	class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "a-0", Namespace: "default", IPs: []string{"10.0.0.1"}})
	plan := resolve.NewPlan(r, &class)
	if got := len(plan.Unrouted()); got != hosts {
		t.Fatalf("%d hosts, want %d", got, hosts)
	}
	for _, host := range plan.Unrouted() {
		rows := map[store.Row]bool{}
		plan.References(r.With(func(row store.Row) { rows[row] = true }), host)
		if len(rows) == 0 || len(rows) > hosts/2 {
			t.Fatalf("%s reads %d rows", host, len(rows))
		}
	}
}
