package translate

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// peersDeniedYAML denies what a policy sees say who its proxy is.
const peersDeniedYAML = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: seen, namespace: default}
spec:
  action: DENY
  selector: {matchLabels: {app: reviews}}
  rules:
  - when: [{key: "request.headers[x-envoy-peer-metadata]", values: ["*"]}]
  - when: [{key: "request.headers[x-envoy-peer-metadata-short]", values: ["*"]}]
  - when: [{key: "request.headers[x-envoy-peer-metadata-id]", values: ["*"]}]
`

// What proxies tell of themselves no filter of a server sees, nor what such a filter asks, nor its workload, whether
// servers count their callers or not; and the caller does not see it in answers.
func TestPeersAreUnseen(t *testing.T) {
	for name, objects := range map[string]string{"metrics": "", "beside Istio's": foreignYAML, "no metrics": metricsOff} {
		t.Run(name, func(t *testing.T) {
			requests := make(chan http.Header, 1)
			app := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests <- r.Header
				for _, header := range []string{telemetry.PeerHeader, telemetry.ShortPeerHeader, telemetry.PeerIDHeader} {
					w.Header().Set(header, "mine")
				}
			}))
			t.Cleanup(app.Close)
			m := startMetered(t, "", objects+peersDeniedYAML, map[string]int{"app": app.Listener.Addr().(*net.TCPAddr).Port})
			res, _ := m.out.servers.get(t, "reviews:9080", "/", http.Header{telemetry.PeerHeader: {"forged"}, telemetry.ShortPeerHeader: {"forged"}, telemetry.PeerIDHeader: {"forged"}})
			if res.StatusCode != http.StatusOK {
				t.Fatalf("status %d: a policy saw who the proxy is", res.StatusCode)
			}
			seen := <-requests
			for _, header := range []string{telemetry.PeerHeader, telemetry.ShortPeerHeader, telemetry.PeerIDHeader} {
				if values := seen.Values(header); len(values) > 0 {
					t.Errorf("the workload sees %s: %q", header, values)
				}
				if values := res.Header.Values(header); len(values) > 0 {
					t.Errorf("the caller sees %s: %q", header, values)
				}
			}
		})
	}
}
