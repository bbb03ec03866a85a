package e2e

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/pilothouse-mesh/pilothouse/deploy/dashboards"
	"github.com/pilothouse-mesh/pilothouse/test/prometheus"
)

// program gives one of Prometheus' programs, as the Makefile fetches them.
func program(t *testing.T, name string) string {
	t.Helper()
	path := filepath.Join(root(t), ".tools/prometheus", name)
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no %s: make prometheus", name)
	}
	return path
}

// target is an address that Prometheus' discovery in a cluster would find, with the labels that it gives it.
type target struct {
	Targets []string          `json:"targets"`
	Labels  map[string]string `json:"labels"`
}

// discovered are the targets by the role of discovery: the ports of istiod, and the pods, as the injection
// webhook annotates them. The gateway is one without annotations.
func discovered(t *testing.T, m *mesh) map[string][]target {
	t.Helper()
	const meta = "__meta_kubernetes_"
	service, err := os.ReadFile(filepath.Join("/run/pilothouse", m.name, "state/service_istio-system_istiod.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	istiod := regexp.MustCompile(`clusterIP: (\S+)`).FindSubmatch(service)
	if istiod == nil {
		t.Fatalf("istiod has no address:\n%s", service)
	}
	out := map[string][]target{}
	for port, name := range map[string]string{"15014": "http-monitoring", "15012": "https-dns"} {
		out["endpoints"] = append(out["endpoints"], target{
			[]string{string(istiod[1]) + ":" + port}, map[string]string{meta + "service_name": "istiod", meta + "endpoint_port_name": name},
		})
	}
	pods := regexp.MustCompile(`(?m)^(\S+)\.(\S+?)\s+\d/\d\s+Running\s+\S+\s+(10\.\S+)$`).FindAllStringSubmatch(m.output.String(), -1)
	if len(pods) < 7 {
		t.Fatalf("only %d pods", len(pods))
	}
	for _, p := range pods {
		labels := map[string]string{
			meta + "pod_name": p[1], meta + "namespace": p[2], meta + "pod_container_port_name": "http-envoy-prom", meta + "pod_phase": "Running",
			meta + "pod_ip": p[3], meta + "pod_annotationpresent_sidecar_istio_io_status": "true",
		}
		if !strings.Contains(p[1], "ingressgateway") {
			const annotation = meta + "pod_annotation_prometheus_io_"
			labels[annotation+"scrape"], labels[annotation+"port"], labels[annotation+"path"] = "true", "15020", "/stats/prometheus"
		}
		out["pod"] = append(out["pod"], target{[]string{p[3] + ":9080"}, labels})
	}
	// A container without ports is discovered at the pod's bare address.
	out["pod"] = append(out["pod"], target{[]string{ofIPv6}, map[string]string{
		meta + "pod_name": "six", meta + "namespace": "default", meta + "pod_ip": ofIPv6, meta + "pod_phase": "Running",
		meta + "pod_annotation_prometheus_io_scrape": "true", meta + "pod_annotation_prometheus_io_port": "15020",
	}})
	return out
}

// ofIPv6 is the address of a pod that nobody runs.
const ofIPv6 = "fd00::7"

// scrapeConfig is deploy/dashboards/prometheus.yaml with targets in the place of discovery, which Debian's
// Prometheus is built without, and with a reading every second.
func scrapeConfig(t *testing.T, m *mesh) []byte {
	t.Helper()
	data, err := dashboards.Files.ReadFile("prometheus.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		Global map[string]any   `json:"global"`
		Jobs   []map[string]any `json:"scrape_configs"`
	}
	if err := yaml.UnmarshalStrict(data, &config); err != nil {
		t.Fatal(err)
	}
	config.Global["scrape_interval"] = "1s"
	found := discovered(t, m)
	for _, job := range config.Jobs {
		role := job["kubernetes_sd_configs"].([]any)[0].(map[string]any)["role"].(string)
		delete(job, "kubernetes_sd_configs")
		job["static_configs"] = found[role]
	}
	if data, err = yaml.Marshal(config); err != nil {
		t.Fatal(err)
	}
	return data
}

// startPrometheus runs one that reads the mesh every second, until the test ends.
func startPrometheus(t *testing.T, m *mesh) prometheus.Server {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, scrapeConfig(t, m), 0o600); err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program(t, "prometheus"), "--config.file", config, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address)
	var log bytes.Buffer
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
		if t.Failed() {
			t.Logf("prometheus: %.4000s", log.String())
		}
	})
	return prometheus.Server{URL: "http://" + address}
}

// chosen puts everything in the place of a dashboard's variables.
var chosen = strings.NewReplacer("$__rate_interval", "20s", "$service", ".*", "$namespace", ".*", "$workload", ".*")

// testPrometheus lets a real Prometheus read the mesh, and asks it what dashboards and Kiali ask: each query
// has to have data. One service speaks TCP meanwhile.
func testPrometheus(t *testing.T, m *mesh) {
	const sample = "bookinfo.yaml"
	before, err := os.ReadFile(filepath.Join(m.dir, sample))
	if err != nil {
		t.Fatal(err)
	}
	load := m.startLoad(10, "/productpage")
	defer load.stop(t, 1)
	p := startPrometheus(t, m)
	for _, q := range []string{"istio_requests_total", "pilot_xds"} { // what is there before the change counts as well
		eventually(t, time.Minute, "a first reading of "+q, func() error { return p.Has(t.Context(), q) })
	}
	if targets, err := p.Targets(t.Context()); err != nil || !slices.ContainsFunc(targets, func(s prometheus.Target) bool {
		return s.ScrapeURL == "http://["+ofIPv6+"]:15020/metrics"
	}) {
		t.Errorf("no target of IPv6 among %v, %v", targets, err)
	}
	m.write(t, sample, strings.Replace(string(before), "name: http", "name: tcp", 1))
	defer m.write(t, sample, string(before))
	queries := prometheus.Kiali()
	for _, d := range dashboards.All() {
		for _, r := range d.Rows {
			for _, panel := range r.Panels {
				for i, q := range panel.Queries {
					queries[fmt.Sprintf("%s: %s: %s: %d", d.Title, r.Title, panel.Title, i)] = chosen.Replace(q.Expr)
				}
			}
		}
		for _, v := range d.Variables {
			metric := regexp.MustCompile(`^label_values\((.*), (\w+)\)$`).FindStringSubmatch(v.Query)
			queries[d.Title+": "+v.Title] = fmt.Sprintf(`%s{%s!=""}`, strings.ReplaceAll(metric[1], `{destination_workload_namespace=~"$namespace"}`, ""), metric[2])
		}
	}
	missing := map[string]string{}
	for name, q := range queries {
		missing[name] = q
	}
	eventually(t, time.Minute, "data for every query", func() error {
		// Bytes of a connection are counted at its end, and the sample's own last.
		m.ctl(t, "exec", "productpage-v1", "-c", "productpage", "--", "/usr/local/bin/bookinfo", "get", "http://details:9080/details/0")
		for name, q := range missing {
			if err := p.Has(t.Context(), q); err != nil {
				return fmt.Errorf("%s: %w; %d of %d queries are left", name, err, len(missing), len(queries))
			}
			delete(missing, name)
		}
		return nil
	})
}
