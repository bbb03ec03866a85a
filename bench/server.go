package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	promodel "github.com/prometheus/common/model"

	"github.com/pilothouse-mesh/pilothouse/bench/process"
)

// server is the discovery server under measurement.
type server struct {
	*process.Process
	plain, secure, monitoring, web string // addresses
	caDir                          string
	args                           []string
	program, log                   string
	ready                          time.Duration // from its start
}

// freePorts gives addresses of loopback that nothing listens on at this moment.
func freePorts(n int) ([]string, error) {
	var out []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		out = append(out, l.Addr().String())
	}
	return out, nil
}

// newServer gives a server that has not started; from are the flags that say where it reads the mesh.
func newServer(program, dir string, from ...string) (*server, error) {
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	s := &server{
		plain: ports[0], secure: ports[1], monitoring: ports[2], web: ports[3],
		caDir: filepath.Join(dir, "ca"), program: program, log: filepath.Join(dir, "server.log"),
	}
	if err := os.MkdirAll(s.caDir, 0o700); err != nil {
		return nil, err
	}
	s.args = []string{
		"discovery", "--grpcAddr", s.plain, "--secureGRPCAddr", s.secure, "--monitoringAddr", s.monitoring,
		"--httpAddr", s.web, "--caDir", s.caDir, "--log_output_level", "default:warn",
		"--maxAnonymousStreams", "-1", // all the simulated proxies are one caller: this machine
	}
	s.args = append(s.args, from...)
	return s, nil
}

// start runs the server and waits until it serves.
func (s *server) start(ctx context.Context) error {
	began := time.Now()
	p, err := process.Start(ctx, s.log, s.program, s.args...)
	if err != nil {
		return err
	}
	s.Process = p
	for time.Since(began) < patience {
		if body, err := s.get(ctx, s.web, "/ready"); err == nil {
			s.ready = time.Since(began)
			return body.Close()
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.Exited():
			return fmt.Errorf("the server ended before it was ready: %s: %s", p.Fate(), s.tail())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return fmt.Errorf("the server is not ready after %v: %s", patience, s.tail())
}

// stop ends the server, if there is one: orderly, or as a crash would.
func (s *server) stop(crash bool) {
	if s.Process != nil {
		s.Stop(crash)
		s.Process = nil
	}
}

// ended tells whether the server does not run.
func (s *server) ended() bool {
	if s.Process == nil {
		return true
	}
	select {
	case <-s.Exited():
		return true
	default:
		return false
	}
}

// tail gives the last lines of the server's log.
func (s *server) tail() string {
	const most = 5
	log, err := os.ReadFile(s.log)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(lines[max(0, len(lines)-most):], "\n")
}

func (s *server) get(ctx context.Context, address, path string) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s: %s", path, resp.Status)
	}
	return resp.Body, nil
}

// save stores what a page of the server gives.
func (s *server) save(ctx context.Context, path, file string) error {
	body, err := s.get(ctx, s.monitoring, path)
	if err != nil {
		return err
	}
	defer body.Close()
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return joinClose(err, f)
}

func joinClose(err error, c io.Closer) error {
	if closeErr := c.Close(); err == nil {
		return closeErr
	}
	return err
}

// collect forces garbage collections: two, since the first leaves what pools hold.
func (s *server) collect(ctx context.Context) error {
	for range 2 {
		if err := s.collectOnce(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) collectOnce(ctx context.Context) error {
	body, err := s.get(ctx, s.monitoring, "/debug/pprof/heap?gc=1")
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, body)
	return joinClose(err, body)
}

// sample is what the server tells of itself.
type sample struct {
	allocs, allocBytes, live float64
	streams, views           float64
	rebuilt                  float64
	converged                histogram
}

// histogram is Prometheus' form: cumulative counts by upper bound, in seconds.
type histogram struct {
	count, sum float64
	bounds     []float64
	counts     []float64
}

func (s *server) sample(ctx context.Context) (sample, error) {
	body, err := s.get(ctx, s.monitoring, "/metrics")
	if err != nil {
		return sample{}, err
	}
	defer body.Close()
	parser := expfmt.NewTextParser(promodel.UTF8Validation)
	all, err := parser.TextToMetricFamilies(body)
	if err != nil {
		return sample{}, fmt.Errorf("the server's metrics: %w", err)
	}
	out := sample{
		allocs: value(all["go_memstats_mallocs_total"]), allocBytes: value(all["go_memstats_alloc_bytes_total"]),
		live:    value(all["go_memstats_heap_alloc_bytes"]) + value(all["go_memstats_stack_inuse_bytes"]),
		streams: value(all["pilot_xds"]), views: value(all["pilot_push_views"]), rebuilt: value(all["pilot_push_views_changed_total"]),
	}
	for _, m := range all["pilot_proxy_convergence_time"].GetMetric() {
		h := m.GetHistogram()
		out.converged.count, out.converged.sum = float64(h.GetSampleCount()), h.GetSampleSum()
		for _, b := range h.GetBucket() {
			out.converged.bounds = append(out.converged.bounds, b.GetUpperBound())
			out.converged.counts = append(out.converged.counts, float64(b.GetCumulativeCount()))
		}
	}
	return out, nil
}

// value adds up a family's series.
func value(f *dto.MetricFamily) float64 {
	sum := 0.0
	for _, m := range f.GetMetric() {
		sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + m.GetUntyped().GetValue()
	}
	return sum
}
