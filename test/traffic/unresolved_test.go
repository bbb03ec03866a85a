package traffic

import (
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// What Envoy says of its clusters tells which names it has resolved to no address, whose requests it answers itself.
func TestNamesWithoutAnAddress(t *testing.T) {
	text := `
-- input.yaml --
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: strict, namespace: default}
spec: {hosts: [strict.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: gone.example.com}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: half, namespace: default}
spec: {hosts: [half.example.com], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: gone.example.com}, {address: there.example.com}, {address: 198.51.100.2}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: robin, namespace: default}
spec: {hosts: [gone.example.com], resolution: DNS_ROUND_ROBIN, ports: [{number: 80, name: http, protocol: HTTP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: turn, namespace: default}
spec: {hosts: [there.example.com], resolution: DNS_ROUND_ROBIN, ports: [{number: 80, name: http, protocol: HTTP}]}
-- calls.yaml --
dns: {there.example.com: [198.51.100.1]}
calls:
- {call: "http://strict.example.com/", want: {status: 503, flags: UH}}
- {call: "http://gone.example.com/", want: {status: 503, flags: UH}}
- {call: "http://half.example.com/", want: {cluster: outbound|80||half.example.com, endpoints: ["198.51.100.1:80", "198.51.100.2:80"]}}
- {call: "http://there.example.com/", want: {cluster: outbound|80||there.example.com, endpoints: ["198.51.100.1:80"]}}
`
	c, err := read(t, txtar.Parse([]byte(text)), nil)
	if err != nil {
		t.Fatal(err)
	}
	from := c.Calls[0].From
	r := start(t, c.resources[from], envoytest.NewSecrets(t), &c.File)
	dump, err := explain.ParseDump([]byte(r.envoy.Get("/config_dump?include_eds")))
	if err != nil {
		t.Fatal(err)
	}
	if dump.Resolved, err = explain.ParseClusters([]byte(r.envoy.Get("/clusters?format=json"))); err != nil {
		t.Fatal(err)
	}
	for i, call := range c.Calls {
		for _, d := range call.differ(call.predicted(dump.Explain(call.request))) {
			t.Errorf("%s, by explain: %s", call.Call, d)
		}
		for _, d := range call.differ(r.sample(t, call, i)) {
			t.Errorf("%s: %s", call.Call, d)
		}
	}
}
