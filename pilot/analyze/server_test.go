package analyze

import (
	"net/netip"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// TestBareServer asks of addresses whether they are of pods without a sidecar, each written in two ways.
func TestBareServer(t *testing.T) {
	translation, err := Translate(t.Context(), []File{{Name: "mesh.yaml", Data: []byte(`
{apiVersion: v1, kind: Pod, metadata: {name: bare, namespace: shop, labels: {app: cart, sidecar.istio.io/inject: "false"}}, spec: {containers: [{name: c, image: x}]}, status: {podIP: 10.0.0.1, phase: Running, conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: proxied, namespace: shop, labels: {app: cart, security.istio.io/tlsMode: istio}}, spec: {containers: [{name: c, image: x}, {name: istio-proxy, image: x}]}, status: {podIP: 10.0.0.2, phase: Running, conditions: [{type: Ready, status: "True"}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: cart, namespace: shop}, spec: {selector: {app: cart}, ports: [{name: http, port: 80}]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: outside, namespace: shop}, spec: {hosts: [x.test], resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], endpoints: [{address: 10.0.0.3}]}}
`)}}, resolve.Settings{})
	if err != nil {
		t.Fatal(err)
	}
	for address, want := range map[string]bool{"10.0.0.1": true, "::ffff:10.0.0.1": true, "10.0.0.2": false, "10.0.0.3": false, "10.0.0.4": false} {
		if got := translation.BareServer(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is of a pod without a sidecar: %v", address, got)
		}
	}
}
