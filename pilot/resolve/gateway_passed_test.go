package resolve_test

import (
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// TestWhatIsPassedOnHasNoHeaderBeforeIt: a header of the PROXY protocol, which a DestinationRule asks for, stands
// before TLS that the router itself begins, not before the sidecars' own.
func TestWhatIsPassedOnHasNoHeaderBeforeIt(t *testing.T) {
	r := read(t, service+`
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: a, namespace: server}
spec:
  host: a
  trafficPolicy: {proxyProtocol: {version: V2}}
  subsets: [{name: v1, labels: {version: v1}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: default}
spec:
  selector: {istio: ingressgateway}
  servers: [{port: {number: 15443, name: tls, protocol: TLS}, hosts: ["*.local"], tls: {mode: AUTO_PASSTHROUGH}}]
`)
	class := resolve.Classify(r, &model.Proxy{Type: model.RouterProxy, Namespace: "default", Labels: map[string]string{"istio": "ingressgateway"}})
	passed := 0
	for _, cl := range clustersOf(r, &class) {
		want := ir.ProxyVersion2
		if strings.HasPrefix(cl.Name, "outbound_.") {
			want = ir.ProxyVersionNone
			passed++
		}
		if cl.ProxyProtocol != want {
			t.Errorf("%s: version %d, not %d", cl.Name, cl.ProxyProtocol, want)
		}
	}
	if passed == 0 {
		t.Error("no cluster passes on mutual TLS")
	}
}
