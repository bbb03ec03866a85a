package translate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

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
	for _, name := range []string{telemetry.OverflowCounters, telemetry.OverflowHistograms} { // which Envoy itself counts
		if got := h.metrics(name)[name+" "]; got == "" || got == "0" {
			t.Errorf("%s is %q though series were left out", name, got)
		}
	}
}

// Series that do not grow go, counters and histograms, when that is asked for, and make room for others.
func TestIdleSeriesGo(t *testing.T) {
	client := envoytest.FreePort(t)
	h := startHop(t, hopConfig{
		res:       translate(t, fmt.Sprintf(twoHopsYAML, 1, 2), Proxy{Labels: map[string]string{"app": "productpage"}}),
		workload:  telemetry.WorkloadOf("productpage-v1", "default", "Kubernetes", map[string]string{"app": "productpage"}),
		listeners: map[string][]int{"0.0.0.0_9080": {client}}, secrets: envoytest.NewGate(t, "", envoytest.NewSecrets(t)).Socket,
		evict: time.Second,
	})
	h.servers.addr = "127.0.0.1:" + strconv.Itoa(client)
	names := []string{"istio_requests_total", "istio_request_duration_milliseconds_count"}
	series := func() string {
		codes := map[string]int{}
		for s := range h.metrics(names...) {
			for _, code := range []string{"200", "503"} {
				if strings.Contains(s, `response_code="`+code+`"`) {
					codes[code]++
				}
			}
		}
		return fmt.Sprint(codes)
	}
	h.servers.get(t, "reviews:9080", "/fail", nil)
	envoytest.Eventually(t, "the failed request is counted", func() bool { return series() == "map[503:2]" })
	envoytest.Eventually(t, "of two only what goes on is there", func() bool {
		h.servers.get(t, "reviews:9080", "/", nil)
		<-h.servers.requests
		return series() == "map[200:2]"
	})
}
