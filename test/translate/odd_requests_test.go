package translate

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
)

const oddGateway = webYAML + `
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: default}
spec:
  hosts: [a.example, "*.b"]
  gateways: [istio-system/web]
  http: [{route: [{destination: {host: reviews}}]}]
`

// What a gateway does with requests that are odd, and lawful or nearly so: docs/security.md has the same as a table.
func TestGatewayPassesOddRequestsAsDocumented(t *testing.T) {
	const noTrace = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: no-trace, namespace: istio-system}
spec: {selector: {matchLabels: {istio: ingressgateway}}, action: DENY, rules: [{to: [{operation: {methods: [TRACE]}}]}]}
`
	const fields = "GET / HTTP/1.1\r\nHost: a.example\r\nX_Role: admin\r\nX-Role: guest\r\n\r\n"
	tests := map[string]struct {
		text        string
		policy      string
		underscores ir.Underscores
		status      int
		host        string            // that the server sees; "" where it is not asked
		header      map[string]string // of those that it sees, "" for one that it does not
	}{
		"underscores pass":               {text: fields, status: 200, host: "a.example", header: map[string]string{"X_role": "admin", "X-Role": "guest"}},
		"underscores are dropped":        {text: fields, underscores: ir.UnderscoresDropped, status: 200, host: "a.example", header: map[string]string{"X_role": "", "X-Role": "guest"}},
		"underscores are refused":        {text: fields, underscores: ir.UnderscoresRejected, status: 400},
		"two hosts are one, with commas": {text: "GET / HTTP/1.1\r\nHost: a.example\r\nHost: x.b\r\n\r\n", status: 200, host: "a.example,x.b"},
		"two hosts are not the first":    {text: "GET / HTTP/1.1\r\nHost: a.example\r\nHost: evil\r\n\r\n", status: 404},
		"two hosts are not the last":     {text: "GET / HTTP/1.1\r\nHost: evil\r\nHost: a.example\r\n\r\n", status: 404},
		"a line feed ends a line":        {text: "GET / HTTP/1.1\nHost: a.example\nX-A: b\n\n", status: 200, host: "a.example", header: map[string]string{"X-A": "b"}},
		"a folded line is unfolded":      {text: "GET / HTTP/1.1\r\nHost: a.example\r\nX-A: b\r\n X-B: c\r\n\r\n", status: 200, host: "a.example", header: map[string]string{"X-A": "b X-B: c", "X-B": ""}},
		"a folded host is refused":       {text: "GET / HTTP/1.1\r\nHost: a.example\r\n b\r\n\r\n", status: 400},
		"TRACE passes":                   {text: "TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", status: 200, host: "a.example"},
		"TRACE is denied by a policy":    {text: "TRACE / HTTP/1.1\r\nHost: a.example\r\n\r\n", policy: noTrace, status: 403},
		"an unknown method is refused":   {text: "TRACK / HTTP/1.1\r\nHost: a.example\r\n\r\n", status: 400},
		"CONNECT goes nowhere":           {text: "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", status: 404},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			options := build.Options{Settings: resolve.Settings{Underscores: test.underscores}}
			s := serve(t, translateWith(t, options, oddGateway+test.policy, ingress), place{listener: "0.0.0.0_80"})
			if status := answered(t, s.addr, test.text); status != test.status {
				t.Fatalf("status is %d, not %d", status, test.status)
			}
			if test.host == "" {
				if len(s.requests) > 0 {
					t.Errorf("a server saw %v", <-s.requests)
				}
				return
			}
			a := <-s.requests
			if a.Host != test.host {
				t.Errorf("the server saw host %q, not %q", a.Host, test.host)
			}
			for name, want := range test.header {
				if got := strings.Join(a.Header[name], " and "); got != want {
					t.Errorf("the server saw %s: %q, not %q", name, got, want)
				}
			}
		})
	}
}

// answered writes a request and gives the status of the answer.
func answered(t *testing.T, address, text string) int {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}
