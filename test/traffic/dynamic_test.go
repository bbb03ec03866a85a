package traffic

import (
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// No name that a client may ask for leads to the proxy itself, whatever DNS says of it.
func TestNoNameLeadsToTheProxyItself(t *testing.T) {
	text := `
-- input.yaml --
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: default}
spec:
  hosts: ["*.wild.example.com"]
  resolution: DYNAMIC_DNS
  ports:
  - {number: 80, name: http, protocol: HTTP}
  - {number: 443, name: tls, protocol: TLS}
  - {number: 8080, name: admin, protocol: HTTP, targetPort: 15000}
  - {number: 8443, name: agent, protocol: TLS, targetPort: 15021}
-- calls.yaml --
dns:
  good.wild.example.com: [198.51.100.1, "2001:db8::1"]
  loopback.wild.example.com: [127.0.0.1]
  other.wild.example.com: [127.8.9.1]
  any.wild.example.com: [0.0.0.0]
  v6.wild.example.com: ["::1"]
  any6.wild.example.com: ["::"]
  mapped.wild.example.com: ["::ffff:127.0.0.1"]
proxies:
  dual: {namespace: default, ips: [10.1.0.100, "fd00::1"]}
calls:
- {from: dual, call: "http://good.wild.example.com/"}
- {from: dual, call: "tls://good.wild.example.com"}
- {from: dual, call: "http://loopback.wild.example.com/", want: {status: 403}}
- {from: dual, call: "http://other.wild.example.com/", want: {status: 403}}
- {from: dual, call: "http://any.wild.example.com/", want: {status: 403}}
- {from: dual, call: "http://v6.wild.example.com/", want: {status: 403}}
- {from: dual, call: "http://any6.wild.example.com/", want: {status: 403}}
- {from: dual, call: "http://mapped.wild.example.com/", want: {status: 403}}
- {from: dual, call: "http://good.wild.example.com:8080/", want: {status: 403}}
- {from: dual, call: "tls://loopback.wild.example.com", want: {closed: true}}
- {from: dual, call: "tls://v6.wild.example.com", want: {closed: true}}
- {from: dual, call: "tls://mapped.wild.example.com", want: {closed: true}}
- {from: dual, call: "tls://good.wild.example.com:8443", want: {closed: true}}
`
	c, err := read(t, txtar.Parse([]byte(text)), nil)
	if err != nil {
		t.Fatal(err)
	}
	r := start(t, c.resources["dual"], envoytest.NewSecrets(t), &c.File)
	for i, call := range c.Calls {
		// Where a name leads only DNS says, which explain does not ask.
		host, _, _ := strings.Cut(call.request.Host, ":")
		if call.request.TLS != nil {
			host = call.request.TLS.SNI
		}
		if strings.HasPrefix(c.DNS[host][0], "198.") {
			a := explained(c.resources["dual"]).Explain(call.request)
			for _, d := range call.differ(call.predicted(a)) {
				t.Errorf("%s, by explain: %s", call.Call, d)
			}
		}
		for _, d := range call.differ(r.sample(t, call, i)) {
			t.Errorf("%s: %s", call.Call, d)
		}
	}
}
