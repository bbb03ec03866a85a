package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

func testMetrics(t *testing.T, m *mesh) {
	out := m.ctl(t, "exec", "productpage-v1", "-c", "istio-proxy", "--", "/usr/local/bin/pilot-agent", "request", "GET", "stats/prometheus", "--debug-port", "15020")
	for _, want := range []string{"bookinfo_requests_total", "envoy_server_live", "istio_agent_"} {
		if !strings.Contains(out, want) {
			t.Errorf("merged metrics lack %s", want)
		}
	}
	testWhereMetricsAre(t, m)
}

// testWhereMetricsAre reads Istio's metrics at each place that has them: of the agent (15020), of Envoy (15090, which has
// no application's), and as the agent's command asks for them. They are the same series of the same types.
func testWhereMetricsAre(t *testing.T, m *mesh) {
	agent := []string{"exec", "productpage-v1", "-c", "istio-proxy", "--", "/usr/local/bin/pilot-agent", "request", "GET", "stats/prometheus"}
	places := map[string][]string{
		"15020": append(slices.Clone(agent), "--debug-port", "15020"), "pilot-agent request": agent,
		"15090": {"exec", "productpage-v1", "-c", "productpage", "--", "bookinfo", "get", "http://127.0.0.1:15090/stats/prometheus"},
	}
	eventually(t, 30*time.Second, "the same metrics wherever they are read", func() error {
		series := map[string]string{}
		for name, command := range places {
			out, err := m.try(command...)
			if err != nil {
				return err
			}
			var lines []string
			for line := range strings.Lines(out) {
				if strings.HasPrefix(line, "istio_") && !strings.HasPrefix(line, "istio_agent_") {
					lines = append(lines, line[:strings.LastIndexByte(line, ' ')]) // values may have grown
				} else if strings.HasPrefix(line, "# TYPE istio_") && !strings.HasPrefix(line, "# TYPE istio_agent_") {
					lines = append(lines, line)
				}
			}
			slices.Sort(lines)
			series[name] = strings.Join(lines, "\n")
		}
		if !strings.Contains(series["15090"], `istio_requests_total{reporter="source"`) {
			return fmt.Errorf("15090 has not Istio's metrics:\n%.2000s", series["15090"])
		}
		for name, of := range series {
			if of != series["15020"] {
				return fmt.Errorf("%s has\n%s\n15020 has\n%s", name, of, series["15020"])
			}
		}
		return nil
	})
}
