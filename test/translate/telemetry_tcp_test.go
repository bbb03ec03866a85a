package translate

import (
	"io"
	"net"
	"strconv"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// deniedYAML lets nobody of the mesh reach reviews.
const deniedYAML = `
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nobody, namespace: default}
spec: {action: DENY, selector: {matchLabels: {app: reviews}}, rules: [{from: [{source: {namespaces: [default]}}]}]}
`

// A connection that is counted as closed is counted as opened as well, also where it reached no server.
func TestWhatIsClosedWasOpened(t *testing.T) {
	const cluster = "outbound|9081||reviews.default.svc.cluster.local"
	for name, c := range map[string]struct {
		objects string
		servers map[string]int
		both    bool // it comes to the server's proxy
	}{
		"served":        {"", nil, true},
		"denied":        {deniedYAML, nil, true},
		"nobody there":  {"", map[string]int{cluster: noHost}, false},
		"nobody serves": {"", map[string]int{cluster: envoytest.FreePort(t)}, false},
	} {
		t.Run(name, func(t *testing.T) {
			m := startMetered(t, "", c.objects, c.servers)
			conn, err := net.Dial("tcp", "127.0.0.1:"+strconv.Itoa(m.raw))
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.WriteString(conn, "hello") // the proxy may have closed it
			_, _ = conn.Read(make([]byte, 5))
			conn.Close()
			proxies := []*hop{m.out}
			if c.both {
				proxies = append(proxies, m.in)
			}
			for _, h := range proxies {
				h.wantOpenedAndClosed(1)
			}
		})
	}
}

// wantOpenedAndClosed waits until so many connections have ended, whatever their labels, and compares how many began.
func (h *hop) wantOpenedAndClosed(n int) {
	h.t.Helper()
	count := func(metric string) int {
		sum := 0
		for _, value := range h.metrics(metric) {
			v, err := strconv.Atoi(value)
			if err != nil {
				h.t.Fatal(err)
			}
			sum += v
		}
		return sum
	}
	envoytest.Eventually(h.t, "the end of a connection at "+h.workload.Name, func() bool { return count(metricTCP[1]) == n })
	if opened := count(metricTCP[0]); opened != n {
		h.t.Errorf("%s counts %d connections as opened, and %d as closed", h.workload.Name, opened, n)
	}
}
