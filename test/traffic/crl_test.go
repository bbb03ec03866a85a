package traffic

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// revoking has a gateway that checks clients against a list, and a service whose servers are checked.
const revoking = `
-- input.yaml --
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: far, namespace: istio-system}
spec:
  hosts: [far.example.com]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP, targetPort: 443}]
  endpoints: [{address: 198.51.100.1}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: far, namespace: istio-system}
spec: {host: far.example.com, trafficPolicy: {tls: {mode: SIMPLE, caCertificates: /ca, subjectAltNames: [far.example.com], caCrl: %[2]q}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec:
  selector: {istio: ingressgateway}
  servers:
  - {port: {number: 8443, name: https, protocol: HTTPS}, hosts: ["far.example.com"], tls: {mode: MUTUAL, serverCertificate: /c, privateKey: /k, caCertificates: /a, caCrl: %[1]q}}
  - {port: {number: 8080, name: http, protocol: HTTP}, hosts: ["far.example.com"]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: gw, namespace: istio-system}
spec: {hosts: [far.example.com], gateways: [gw], http: [{route: [{destination: {host: far.example.com}}]}]}
-- calls.yaml --
proxies: {gw: {namespace: istio-system, type: router, ips: [10.3.0.9], labels: {istio: ingressgateway}}}
calls:
- {from: gw, call: "https://far.example.com:8443/", mtls: true, host: far.example.com}
- {from: gw, call: "http://far.example.com:8080/", host: far.example.com}
`

// What the list in caCrl revokes is not taken: neither a client of a gateway, nor a server.
func TestRevokedCertificatesAreRefused(t *testing.T) {
	secrets := envoytest.NewSecrets(t)
	dir := t.TempDir()
	for name, serial := range map[string]int64{"others": 99, "ours": envoytest.SignedSerial} {
		if err := os.WriteFile(filepath.Join(dir, name), secrets.Revoke(t, serial), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ clients, servers string }{{"others", "others"}, {"ours", "others"}, {"others", "ours"}} {
		t.Run(c.clients+" of clients, "+c.servers+" of servers", func(t *testing.T) {
			text := fmt.Sprintf(revoking, filepath.Join(dir, c.clients), filepath.Join(dir, c.servers))
			all, err := read(t, txtar.Parse([]byte(text)), nil)
			if err != nil {
				t.Fatal(err)
			}
			r := start(t, all.resources["gw"], secrets, &all.File)
			r.mesh = secrets.Sign(t, "client", nil)
			byTLS, clear := all.Calls[0], all.Calls[1]
			if c.clients == "ours" {
				byTLS.Want.Closed = true
			}
			if c.servers == "ours" {
				unavailable := 503
				byTLS.Want.Status, clear.Want.Status = &unavailable, &unavailable
			}
			for i, call := range all.Calls {
				if c.clients == "others" && c.servers == "others" { // the lists are files, which only Envoy reads
					a := explained(all.resources["gw"]).Explain(call.request)
					for _, d := range call.differ(call.predicted(a)) {
						t.Errorf("%s, by explain: %s", call.Call, d)
					}
				}
				for _, d := range call.differ(r.sample(t, call, i)) {
					t.Errorf("%s: %s", call.Call, d)
				}
			}
		})
	}
}
