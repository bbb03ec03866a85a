package status

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// duration writes one histogram of Envoy's, of requests to a cluster; each bucket is "bound count".
func duration(cluster string, sum, count int, buckets ...string) string {
	label := requestTo(cluster)
	var b strings.Builder
	for _, bucket := range buckets {
		le, n, _ := strings.Cut(bucket, " ")
		fmt.Fprintf(&b, "envoy_istio_duration_bucket{istio=%q,le=%q} %s\n", label, le, n)
	}
	fmt.Fprintf(&b, "envoy_istio_duration_sum{istio=%[1]q} %[2]d\nenvoy_istio_duration_count{istio=%[1]q} %[3]d\n", label, sum, count)
	return b.String()
}

// histograms gives what a page has of each series, by its service: buckets, sum and count as they stand.
func histograms(page []string) map[string][]string {
	out := map[string][]string{}
	for _, line := range page {
		name, rest, ok := strings.Cut(line, "{")
		if !ok {
			continue
		}
		labels, value, _ := strings.Cut(rest, "} ")
		service, text := "", strings.TrimPrefix(name, telemetry.MetricDuration+"_")
		for label, v := range labelPairs(labels) {
			switch label {
			case "destination_service_name":
				service = v
			case "le":
				text = v
			}
		}
		out[service] = append(out[service], text+" "+value)
	}
	return out
}

// Each series has its buckets ascending, with the one of all last, whatever bounds other series of its metric have and
// in whatever order they come. Of several of Envoy's with different bounds it has those that all have.
func TestBucketsAscendInEachSeries(t *testing.T) {
	const c, d = "outbound|80||c.default.svc.cluster.local", "outbound|80||d.default.svc.cluster.local"
	v1, v2 := "outbound|80|v1|b.default.svc.cluster.local", "outbound|80|v2|b.default.svc.cluster.local"
	text := "# TYPE envoy_istio_duration histogram\n" +
		duration(c, 9, 5, "1 1", "5 2", "10 4", "+Inf 5") +
		duration(d, 8, 3, "0.5 0", "5 1", "7 2", "+Inf 3") + // has one below and one between
		duration(v1, 6, 4, "1 1", "5 2", "10 3", "+Inf 4") +
		duration(v2, 7, 6, "0.5 1", "5 4", "10 5", "+Inf 6") // the same series of Istio's as v1
	mixed := "# TYPE envoy_istio_duration histogram\n" +
		duration(c, 9, 5, "+Inf 5", "10 4", "1 1", "5 2", "x 7", "NaN 7") +
		strings.ReplaceAll(duration("outbound|80||cut.default.svc.cluster.local", 1, 1, "0.25 1"), "envoy_istio_duration_count", "envoy_istio_duration_x") +
		duration(d, 8, 3, "5 1", "0.5 0", "5 1", "+Inf 3", "7 2") +
		duration(v2, 7, 6, "0.5 1", "5 4", "10 5") + duration(v1, 6, 4, "1 1", "5 2", "10 3")
	want := map[string][]string{
		"c": {"1 1", "5 2", "10 4", "+Inf 5", "sum 9", "count 5"},
		"d": {"0.5 0", "5 1", "7 2", "+Inf 3", "sum 8", "count 3"},
		"b": {"5 6", "10 8", "+Inf 10", "sum 13", "count 10"},
	}
	for name, page := range map[string]struct {
		data []byte
		kind string
	}{"text": {[]byte(text), textType}, "protobuf": {inFamilies(t, text), familyType}, "text without order": {[]byte(mixed), textType}} {
		lines, err := written(page.data, page.kind)
		if err != nil {
			t.Fatal(name, err)
		}
		got := histograms(lines)
		for service, buckets := range want {
			if !slices.Equal(got[service], buckets) {
				t.Errorf("%s: the series of %s is %v, want %v", name, service, got[service], buckets)
			}
		}
		if cut := got["cut"]; cut != nil {
			t.Errorf("%s: a histogram without its end is %v", name, cut)
		}
	}
}
