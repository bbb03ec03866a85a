package status

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"

	"github.com/pilothouse-mesh/pilothouse/agent/connections"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// maxAppMetrics bounds what is read from an application's metrics.
const maxAppMetrics = 10 << 20

// scrapeTimeout bounds a scrape whose Prometheus names no timeout of its own.
const scrapeTimeout = 10 * time.Second

// MetricsConfig says what one scrape of the agent holds besides the agent's own metrics.
type MetricsConfig struct {
	// EnvoyURL is Envoy's own metrics page; empty for none.
	EnvoyURL string
	// AppURLs are the application's, in the order in which they are given on.
	AppURLs []string
	// LocalOnly refuses scrapes from outside the pod.
	LocalOnly bool
	// Connections has the bytes of TCP connections; nil for none.
	Connections *connections.Counter
	// Workload is the proxy's own, which is one side of every request that it counts.
	Workload telemetry.Workload
}

// ParseScrape reads ISTIO_PROMETHEUS_ANNOTATIONS, the pod's own prometheus.io annotations that the
// injector put aside, and gives the URLs to ask: those of its targets, or else the one that the rest means.
// A pod that points at the agent itself (ownPort) asks for nothing more.
func ParseScrape(text string, ownPort int) ([]string, error) {
	if text == "" {
		return nil, nil
	}
	var s struct {
		Scrape  string `json:"scrape"`
		Path    string `json:"path"`
		Port    string `json:"port"`
		Scheme  string `json:"scheme"`
		Targets []struct {
			Port string `json:"port"`
			Path string `json:"path"`
		} `json:"targets"`
	}
	if err := json.Unmarshal([]byte(text), &s); err != nil {
		return nil, fmt.Errorf("ISTIO_PROMETHEUS_ANNOTATIONS: %w", err)
	}
	if len(s.Targets) == 0 {
		return scrapeURL(s.Scrape, s.Scheme, s.Port, s.Path, ownPort)
	}
	var urls []string
	for _, t := range s.Targets {
		url, err := scrapeURL("true", s.Scheme, t.Port, t.Path, ownPort)
		if err != nil {
			return nil, err
		}
		urls = append(urls, url...)
	}
	return urls, nil
}

// scrapeURL gives the URL that the prometheus.io annotations mean: scrape must be "true", the port
// is 80 and the path /metrics by default. It gives none where there is nothing to ask.
func scrapeURL(scrape, scheme, port, path string, ownPort int) ([]string, error) {
	if wanted, err := strconv.ParseBool(scrape); err != nil || !wanted {
		return nil, nil
	}
	if port == "" {
		port = "80"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return nil, fmt.Errorf("prometheus.io/port: %q is no port", port)
	}
	if int(n) == ownPort {
		return nil, nil
	}
	if scheme == "" {
		scheme = "http"
	}
	if scheme != "http" && scheme != "https" {
		return nil, fmt.Errorf("prometheus.io/scheme: %q is neither http nor https", scheme)
	}
	if path == "" {
		path = "/metrics"
	}
	if !strings.HasPrefix(path, "/") {
		path = "/" + path
	}
	return []string{fmt.Sprintf("%s://localhost:%d%s", scheme, n, path)}, nil
}

// scraper answers a scrape with the metrics of agent, Envoy and application, one after the other,
// as they come. What fails is counted and left out: a dead application must not hide its proxy.
type scraper struct {
	cfg      MetricsConfig
	gatherer prometheus.Gatherer
	client   *http.Client
	logger   *slog.Logger
	failures *prometheus.CounterVec
	total    prometheus.Counter
}

func newScraper(cfg MetricsConfig, registry *prometheus.Registry, logger *slog.Logger) *scraper {
	s := &scraper{
		cfg: cfg, gatherer: registry, logger: logger,
		client: &http.Client{Transport: &http.Transport{
			MaxIdleConnsPerHost: 1,
			// Over loopback, packing costs more than it saves.
			DisableCompression: true,
			IdleConnTimeout:    time.Minute,
		}},
		total: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "istio_agent_scrapes_total", Help: "Scrapes of the merged metrics.",
		}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "istio_agent_scrape_failures_total", Help: "Parts that are missing in a scrape, by what did not answer.",
		}, []string{"type"}),
	}
	registry.MustRegister(s.total, s.failures)
	return s
}

func (s *scraper) close() { s.client.CloseIdleConnections() }

// ServeHTTP implements http.Handler. The application decides the format, since only it cannot be
// asked for another one; agent and Envoy follow.
func (s *scraper) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.total.Inc()
	ctx, cancel := context.WithTimeout(r.Context(), timeoutOf(r.Header))
	defer cancel()

	apps := s.openApps(ctx, r.Header)
	defer func() {
		for _, app := range apps {
			app.Body.Close()
		}
	}()
	format := commonFormat(apps)
	w.Header().Set("Content-Type", string(format))
	out := newSection(w)
	defer out.close()
	if err := s.writeAgent(out, format); err != nil {
		s.fail("agent", err)
	}
	// Envoy does not write OpenMetrics; its lines are valid there as well.
	if envoy := s.openEnvoy(ctx, ""); envoy != nil {
		if err := out.copyEnvoy(envoy.Body, envoy.Header.Get("Content-Type"), s.cfg, format.FormatType() == expfmt.TypeOpenMetrics); err != nil {
			s.fail("envoy", err)
		}
		envoy.Body.Close()
	}
	for _, app := range apps {
		if err := out.copy(app.Body, maxAppMetrics); err != nil {
			s.fail("application", err)
		}
	}
	if format.FormatType() == expfmt.TypeOpenMetrics {
		out.end()
	}
}

// envoyOnly answers with Envoy's metrics alone.
func (s *scraper) envoyOnly(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), timeoutOf(r.Header))
	defer cancel()
	envoy := s.openEnvoy(ctx, r.URL.RawQuery)
	if envoy == nil {
		http.Error(w, "envoy's metrics are not there", http.StatusServiceUnavailable)
		return
	}
	defer envoy.Body.Close()
	w.Header().Set("Content-Type", string(textFormat))
	out := newSection(w)
	defer out.close()
	if err := out.copyEnvoy(envoy.Body, envoy.Header.Get("Content-Type"), s.cfg, false); err != nil {
		s.fail("envoy", err)
	}
}

// openEnvoy asks Envoy for its metrics. Those that a query asks for may be in forms that protobuf has not.
func (s *scraper) openEnvoy(ctx context.Context, query string) *http.Response {
	url, accept := s.cfg.EnvoyURL, familyType+","+string(textFormat)+";q=0.5"
	if query != "" {
		url, accept = url+"?"+query, string(textFormat)
	}
	return s.ask(ctx, "envoy", url, http.Header{"Accept": {accept}})
}

// openApps asks all of the application's targets at once, and gives the answers in their order.
func (s *scraper) openApps(ctx context.Context, header http.Header) []*http.Response {
	answers := make([]*http.Response, len(s.cfg.AppURLs))
	var group sync.WaitGroup
	for i, url := range s.cfg.AppURLs {
		group.Go(func() { answers[i] = s.open(ctx, url, header) })
	}
	group.Wait()
	return slices.DeleteFunc(answers, func(r *http.Response) bool { return r == nil })
}

// commonFormat is that of the application's answers, or text where they differ, which all parsers read.
func commonFormat(apps []*http.Response) expfmt.Format {
	format := textFormat
	for i, app := range apps {
		f := negotiated(app.Header.Get("Content-Type"))
		if i > 0 && f != format {
			return textFormat
		}
		format = f
	}
	return format
}

// timeoutOf follows Prometheus' own timeout, in seconds.
func timeoutOf(h http.Header) time.Duration {
	seconds, err := strconv.ParseFloat(h.Get("X-Prometheus-Scrape-Timeout-Seconds"), 64)
	if err != nil || !(seconds > 0 && seconds < 3600) {
		return scrapeTimeout
	}
	return time.Duration(seconds * float64(time.Second))
}

// open asks an application for its metrics, as the scrape does, but not for what cannot be joined to text.
func (s *scraper) open(ctx context.Context, url string, header http.Header) *http.Response {
	own := http.Header{}
	for _, name := range []string{"Accept", "User-Agent", "X-Prometheus-Scrape-Timeout-Seconds"} {
		if v := header.Get(name); v != "" {
			own.Set(name, withoutProtobuf(v))
		}
	}
	return s.ask(ctx, "application", url, own)
}

// ask asks one part for its metrics; nil means that there are none.
func (s *scraper) ask(ctx context.Context, part, url string, header http.Header) *http.Response {
	if url == "" {
		return nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		s.fail(part, err)
		return nil
	}
	req.Header = header
	res, err := s.client.Do(req)
	if err == nil && res.StatusCode != http.StatusOK {
		res.Body.Close()
		err = errors.New(res.Status)
	}
	if err != nil {
		s.fail(part, err)
		return nil
	}
	return res
}

func (s *scraper) fail(part string, err error) {
	s.failures.WithLabelValues(part).Inc()
	s.logger.Debug("metrics are missing in a scrape", "of", part, "error", err)
}

func (s *scraper) writeAgent(w io.Writer, format expfmt.Format) error {
	families, err := s.gatherer.Gather()
	enc := expfmt.NewEncoder(w, format)
	for _, f := range families {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	return err
}

var textFormat = expfmt.NewFormat(expfmt.TypeTextPlain)

// negotiated gives the format of the whole answer from that of the application's part.
func negotiated(contentType string) expfmt.Format {
	kind, params, err := mime.ParseMediaType(contentType)
	if err != nil || kind != expfmt.OpenMetricsType {
		return textFormat
	}
	version := params["version"]
	if version != expfmt.OpenMetricsVersion_1_0_0 {
		version = expfmt.OpenMetricsVersion_0_0_1
	}
	f, err := expfmt.NewOpenMetricsFormat(version)
	if err != nil {
		return textFormat
	}
	return f
}

// withoutProtobuf takes the binary format out of an Accept header: it cannot be joined to text.
func withoutProtobuf(accept string) string {
	kept := []string{}
	for _, part := range strings.Split(accept, ",") {
		if !strings.Contains(part, "application/vnd.google.protobuf") {
			kept = append(kept, part)
		}
	}
	return strings.Join(kept, ",")
}
