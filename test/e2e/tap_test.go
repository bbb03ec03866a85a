package e2e

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// testTap watches requests of a pod and of a service while there are some, and sees that Envoy logs no more
// when nobody watches.
func testTap(t *testing.T, m *mesh) {
	load := m.startLoad(20, "/productpage")
	defer load.stop(t, 1)
	lines := m.ctl(t, "tap", "productpage-v1", "--direction", "out", "--path", "/reviews", "--max", "3")
	if n := strings.Count(lines, "\n"); n != 3 || !strings.Contains(lines, "GET reviews:9080/reviews/0 200") || !strings.Contains(lines, "route=virtual-service/default/reviews") {
		t.Errorf("%d lines:\n%s", n, lines)
	}
	var r struct{ Pod, Side, Source, Path string }
	out := m.ctl(t, "tap", "details", "--direction", "in", "--max", "1", "-o", "json")
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.HasPrefix(r.Pod, "details-v1-") || r.Side != "in" || r.Source != "default/bookinfo-productpage" || r.Path != "/details/0" {
		t.Errorf("a request of the service: %s", out)
	}
	for _, pod := range []string{"productpage-v1", "details-v1"} {
		eventually(t, 30*time.Second, "an end of the logging of "+pod, func() error {
			values := m.ctl(t, "exec", pod, "-c", "istio-proxy", "--", "/usr/local/bin/pilot-agent", "request", "GET", "runtime")
			var runtime struct {
				Entries map[string]struct {
					Value string `json:"final_value"`
				}
			}
			if err := json.Unmarshal([]byte(values), &runtime); err != nil || runtime.Entries[telemetry.TapRuntime].Value != strconv.Itoa(telemetry.TapNone) {
				return fmt.Errorf("%v; the runtime is %s", err, values)
			}
			return nil
		})
	}
}
