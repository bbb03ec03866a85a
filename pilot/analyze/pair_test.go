package analyze_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/analyze"
)

// Many objects that are in each other's way are told once each, and not once for each two of them.
func TestConflictsAreToldOncePerObject(t *testing.T) {
	const n = 20
	for kind, spec := range map[string]string{
		"VirtualService": "{hosts: [cart], http: [{route: [{destination: {host: cart}}]}]}",
		"Gateway":        "{selector: {a: b}, servers: [{port: {number: 80, name: h, protocol: HTTP}, hosts: ['*']}]}",
		"Sidecar":        "{workloadSelector: {labels: {app: cart}}, egress: [{hosts: ['./*']}]}",
	} {
		text := "{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}\n---\n" +
			"{apiVersion: v1, kind: Pod, metadata: {name: cart, namespace: shop, labels: {app: cart}}, spec: {containers: [{name: c, image: x}]}}\n"
		for i := range n {
			text += fmt.Sprintf("---\napiVersion: networking.istio.io/v1\nkind: %s\nmetadata: {name: o%d, namespace: shop}\nspec: %s\n", kind, i, spec)
		}
		found, err := analyze.Files(t.Context(), []analyze.File{{Name: "f", Data: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		told, most := map[string]int{}, false
		for _, f := range found {
			if strings.Contains(f.Message, " as well") {
				told[f.Object.Name]++
				most = most || strings.HasSuffix(f.Message, " and others")
			}
		}
		for name, times := range told {
			if times > 1 {
				t.Errorf("%s %s is told %d times", kind, name, times)
			}
		}
		if len(told) != n-1 || !most {
			t.Errorf("%s: %d of %d are told, the last with more than it names: %v", kind, len(told), n-1, most)
		}
	}
}

// A Gateway is for gateways: at a sidecar it has no effect.
func TestGatewayAtSidecar(t *testing.T) {
	found, err := analyze.Files(t.Context(), []analyze.File{{Name: "f", Data: []byte(`{apiVersion: v1, kind: Namespace, metadata: {name: shop, labels: {istio-injection: enabled}}}
---
{apiVersion: v1, kind: Pod, metadata: {name: cart, namespace: shop, labels: {app: cart}}, spec: {containers: [{name: c, image: x}]}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec: {selector: {app: cart}, servers: [{port: {number: 8080, name: h, protocol: HTTP}, hosts: ['*']}]}
`)}})
	if err != nil || len(found) != 1 || found[0].Field != "spec.selector" || !strings.Contains(found[0].Message, "is a sidecar") {
		t.Errorf("%v %v", found, err)
	}
}
