package translate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// A proxy has no more series than the mesh says, and goes on counting those.
func TestSeriesAreLimited(t *testing.T) {
	input := strings.Replace(fmt.Sprintf(twoHopsYAML, 1, 2), `{mode: REGISTRY_ONLY}`,
		`{mode: REGISTRY_ONLY}\ndefaultConfig: {proxyMetadata: {`+telemetry.SeriesVariable+`: '2'}}`, 1)
	client := envoytest.FreePort(t)
	h := startHop(t, hopConfig{
		res:       translate(t, input, Proxy{Labels: map[string]string{"app": "productpage"}}),
		workload:  telemetry.WorkloadOf("productpage-v1", "default", "Kubernetes", map[string]string{"app": "productpage"}),
		listeners: map[string][]int{"0.0.0.0_9080": {client}}, secrets: envoytest.NewGate(t, "", envoytest.NewSecrets(t)).Socket,
	})
	h.servers.addr = "127.0.0.1:" + strconv.Itoa(client)
	const name = "istio_requests_total"
	await := func(series int, ok string) {
		t.Helper()
		var got map[string]string
		envoytest.Eventually(t, "the requests are counted", func() bool {
			got = h.metrics(name)
			return len(got) >= series && slices.ContainsFunc(slices.Collect(maps.Keys(got)), func(s string) bool {
				return strings.Contains(s, `response_code="200"`) && got[s] == ok
			})
		})
		if len(got) != series {
			t.Errorf("%d series: %v", len(got), got)
		}
	}
	h.servers.get(t, "reviews:9080", "/", nil)
	await(1, "1")
	h.servers.get(t, "nowhere.example.com", "/", nil)
	await(2, "1")
	h.servers.get(t, "reviews:9080", "/fail", nil) // one too many
	h.servers.get(t, "reviews:9080", "/", nil)
	await(2, "2")
}
