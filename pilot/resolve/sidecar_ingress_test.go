package resolve_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

// A listener that the proxy itself opens waits as long as that which is redirected to: not for ever where client and
// server may wait for each other.
func TestABoundIngressListenerDoesNotWaitForEver(t *testing.T) {
	for _, c := range []struct {
		protocol, mode string
		want           time.Duration
	}{
		{"MYSQL", "PERMISSIVE", time.Second},
		{"MYSQL", "STRICT", 0},
		{"MONGO", "PERMISSIVE", 0},
	} {
		r := read(t, fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: default, namespace: default}
spec:
  ingress:
  - {port: {number: 3307, protocol: %s, name: db}, captureMode: NONE, defaultEndpoint: "127.0.0.1:3306"}
  - {port: {number: 8080, protocol: HTTP, name: http}, captureMode: NONE, defaultEndpoint: "127.0.0.1:8081"}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: %s}}
`, c.protocol, c.mode))
		class := resolve.Classify(r, &model.Proxy{Type: model.SidecarProxy, Name: "a-0", Namespace: "default", IPs: []string{"10.0.0.1"}})
		listeners, problems := resolve.Inbound(r, &class)
		if len(problems) > 0 || len(listeners) != 3 {
			t.Fatal(listeners, problems)
		}
		for _, l := range listeners {
			want := time.Duration(0)
			if l.Port == 3307 {
				want = c.want
			}
			if *l.InspectTimeout != want {
				t.Errorf("%s of %s waits %v, want %v", l.Name, c.mode, *l.InspectTimeout, want)
			}
		}
	}
}
