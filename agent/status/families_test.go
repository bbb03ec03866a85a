package status

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// inFamilies writes a page of text as Envoy does for who asks for protobuf.
func inFamilies(t testing.TB, text string) []byte {
	t.Helper()
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	enc := expfmt.NewEncoder(&out, expfmt.NewFormat(expfmt.TypeProtoDelim))
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if err := enc.Encode(families[name]); err != nil {
			t.Fatal(err)
		}
	}
	return out.Bytes()
}

// written gives the lines of a page of Envoy's as the agent writes it.
func written(page []byte, contentType string) ([]string, error) {
	var out bytes.Buffer
	s := newSection(&out)
	err := s.copyEnvoy(bytes.NewReader(page), contentType, MetricsConfig{Workload: self}, false)
	s.close()
	return strings.Split(strings.TrimSpace(out.String()), "\n"), err
}

// copied gives them sorted.
func copied(t testing.TB, page []byte, contentType string) ([]string, error) {
	t.Helper()
	lines, err := written(page, contentType)
	slices.Sort(lines)
	return lines, err
}

// Both formats in which Envoy writes its metrics give the same page.
func TestBothFormatsGiveTheSame(t *testing.T) {
	text := envoyPageOf() + `# TYPE envoy_cluster_upstream_rq_time histogram
envoy_cluster_upstream_rq_time_bucket{cluster="a\"b",le="0.5"} 1
envoy_cluster_upstream_rq_time_bucket{cluster="a\"b",le="3.6e+06"} 4
envoy_cluster_upstream_rq_time_bucket{cluster="a\"b",le="+Inf"} 5
envoy_cluster_upstream_rq_time_sum{cluster="a\"b"} 1234567.125
envoy_cluster_upstream_rq_time_count{cluster="a\"b"} 5
# TYPE envoy_server_uptime gauge
envoy_server_uptime{} 123456789
`
	want, err := copied(t, []byte(strings.ReplaceAll(text, "3.6e+06", "3600000")), textType)
	if err != nil {
		t.Fatal(err)
	}
	got, err := copied(t, inFamilies(t, text), familyType)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// What does not parse, or is cut off, ends the page at a whole line, and no length makes the agent take memory.
func TestABrokenFamilyEndsThePage(t *testing.T) {
	page := inFamilies(t, envoyPageOf())
	for at := range page {
		lines, _ := copied(t, page[:at], familyType) // at the end of a family there is no fault
		for _, line := range lines {
			if line != "" && !strings.HasPrefix(line, "#") && !strings.Contains(line, "} ") {
				t.Fatalf("cut after %d bytes, a line is %q", at, line)
			}
		}
	}
	for _, bad := range [][]byte{
		{5, 0x22, 0xff, 0xff, 0xff, 0x7f},                              // a metric of 268 MB in a family of 5
		append([]byte{0xff, 0xff, 0xff, 0x7f}, 0x22, 0xff, 0xff, 0x7f), // one of 2 MB
		{2, 0x0d, 0x00}, // a field of 32 bits
	} {
		if _, err := copied(t, bad, familyType); err == nil {
			t.Errorf("% x is taken", bad)
		}
	}
}

// pageOf2000 is a page of 2,000 series, of which three of four are histograms, as text.
func pageOf2000() string {
	var text strings.Builder
	for _, name := range []string{"requests", "duration", "request_bytes", "response_bytes"} {
		kind := map[bool]string{true: "counter", false: "histogram"}[name == "requests"]
		fmt.Fprintf(&text, "# TYPE envoy_istio_%s %s\n", name, kind)
		for i := range 500 {
			label := requestTo(fmt.Sprintf("outbound|80||s%d.default.svc.cluster.local", i))
			if kind == "counter" {
				fmt.Fprintf(&text, "envoy_istio_%s{istio=%q} 1\n", name, label)
				continue
			}
			for le := range 19 {
				fmt.Fprintf(&text, "envoy_istio_%s_bucket{istio=%q,le=\"%d\"} 1\n", name, label, 1<<le)
			}
			fmt.Fprintf(&text, "envoy_istio_%[1]s_bucket{istio=%[2]q,le=\"+Inf\"} 1\nenvoy_istio_%[1]s_sum{istio=%[2]q} 1\nenvoy_istio_%[1]s_count{istio=%[2]q} 1\n", name, label)
		}
	}
	return text.String()
}

// Reading 2,000 series takes few allocations for each.
func TestAScrapeAllocatesLittle(t *testing.T) {
	text := pageOf2000()
	for kind, c := range map[string]struct {
		page   []byte
		atMost float64
	}{textType: {[]byte(text), 60_000}, familyType: {inFamilies(t, text), 30_000}} {
		got := testing.AllocsPerRun(5, func() {
			if err := newSection(discard{}).copyEnvoy(bytes.NewReader(c.page), kind, MetricsConfig{Workload: self}, false); err != nil {
				t.Fatal(err)
			}
		})
		if got > c.atMost {
			t.Errorf("%s: %.0f allocations", kind, got)
		}
	}
}

func BenchmarkScrape(b *testing.B) {
	text := pageOf2000()
	for kind, page := range map[string][]byte{textType: []byte(text), familyType: inFamilies(b, text)} {
		name, _, _ := strings.Cut(kind, ";")
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(page)))
			for b.Loop() {
				if err := newSection(discard{}).copyEnvoy(bytes.NewReader(page), kind, MetricsConfig{Workload: self}, false); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
