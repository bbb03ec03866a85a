package translate

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// spoofed is what a client says of itself, and of how Envoy is to treat it.
var spoofed = map[string]string{
	"X-Forwarded-Client-Cert":        "By=spiffe://cluster.local/ns/x/sa/y;URI=spiffe://cluster.local/ns/istio-system/sa/admin",
	"X-Forwarded-For":                "198.51.100.7",
	"X-Forwarded-Proto":              "https",
	"X-Envoy-External-Address":       "198.51.100.7",
	"X-Envoy-Internal":               "true",
	"X-Envoy-Original-Path":          "/admin",
	"X-Envoy-Retry-On":               "5xx",
	"X-Envoy-Max-Retries":            "99",
	"X-Envoy-Upstream-Rq-Timeout-Ms": "1",
	"X-Envoy-Decorator-Operation":    "forged",
	"X-Envoy-Force-Trace":            "true",
}

// What a client says of its certificate, its address and of how Envoy is to treat it does not pass a gateway, unless
// the gateway's topology says that whoever stands before it is trusted.
func TestGatewaysOverwriteWhatClientsSayOfThemselves(t *testing.T) {
	for _, c := range []struct {
		topology        model.Topology
		cert            bool // whether the server sees the client's word about its certificate
		proto, external string
	}{
		{model.Topology{}, false, "http", "127.0.0.1"},
		{model.Topology{ClientCert: "SANITIZE"}, false, "http", "127.0.0.1"},
		{model.Topology{ClientCert: "SANITIZE_SET"}, false, "http", "127.0.0.1"},
		{model.Topology{ClientCert: "FORWARD_ONLY"}, false, "http", "127.0.0.1"},   // of mutual TLS only
		{model.Topology{ClientCert: "APPEND_FORWARD"}, false, "http", "127.0.0.1"}, // the same
		{model.Topology{ClientCert: "ALWAYS_FORWARD_ONLY"}, true, "http", "127.0.0.1"},
		{model.Topology{TrustedProxies: 1}, false, "https", "198.51.100.7"},
	} {
		t.Run(fmt.Sprintf("%+v", c.topology), func(t *testing.T) {
			s := gatewayOf(t, openGatewayYAML, c.topology)
			req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+s.addr+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			for name, value := range spoofed {
				req.Header.Set(name, value)
			}
			res, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			got := (<-s.requests).Header
			if seen := got.Get("X-Forwarded-Client-Cert") == spoofed["X-Forwarded-Client-Cert"]; seen != c.cert {
				t.Errorf("the server sees a certificate %q", got.Get("X-Forwarded-Client-Cert"))
			}
			for name, want := range map[string]string{
				"X-Forwarded-Proto": c.proto, "X-Envoy-External-Address": c.external,
			} {
				if seen := got.Get(name); seen != want {
					t.Errorf("the server sees %s: %q, want %q", name, seen, want)
				}
			}
			// The gateway adds whom it sees to the client's list: of a caller of loopback, the machine's address.
			if list := strings.Split(got.Get("X-Forwarded-For"), ","); len(list) != 2 || list[0] != spoofed["X-Forwarded-For"] {
				t.Errorf("the server sees the addresses %v", list)
			}
			for name, value := range spoofed {
				if strings.HasPrefix(name, "X-Envoy-") && name != "X-Envoy-External-Address" && got.Get(name) == value {
					t.Errorf("the server sees %s: %s", name, value)
				}
			}
		})
	}
}
