package cluster

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"istio.io/api/annotation"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/yaml"

	"github.com/pilothouse-mesh/pilothouse/deploy/dashboards"
	"github.com/pilothouse-mesh/pilothouse/test/prometheus"
)

// observed are a Prometheus, whose program is on the node's disk, and what is scraped in other ways than the sample:
// a pod whose metrics are not merged, one that has ended, and Prometheus itself: by its annotations, and as what would
// be the control plane of a revision.
const observed = `
apiVersion: v1
kind: Pod
metadata:
  name: prometheus
  namespace: istio-system
  labels: {app: prometheus}
  annotations: {prometheus.io/scrape: "true", prometheus.io/port: "9090"}
spec:
  serviceAccountName: prometheus
  containers:
  - name: prometheus
    image: pilothouse/pause:dev
    imagePullPolicy: Never
    command: [/prometheus, --config.file=/configuration/prometheus.yaml, --storage.tsdb.path=/data]
    readinessProbe: {httpGet: {path: /-/ready, port: 9090}, periodSeconds: 1}
    volumeMounts:
    - {name: program, mountPath: /prometheus, readOnly: true}
    - {name: configuration, mountPath: /configuration}
    - {name: data, mountPath: /data}
  volumes:
  - {name: program, hostPath: {path: PROGRAM, type: File}}
  - {name: configuration, configMap: {name: prometheus}}
  - {name: data, emptyDir: {}}
---
apiVersion: v1
kind: Service
metadata: {name: istiod-canary, namespace: istio-system}
spec:
  selector: {app: prometheus}
  ports: [{name: http-monitoring, port: 9090}, {name: other, port: 9091}]
---
apiVersion: v1
kind: Pod
metadata: {name: unmerged, namespace: default, annotations: {prometheus.istio.io/merge-metrics: "false"}}
spec:
  containers:
  - {name: app, image: "pilothouse/pause:dev", imagePullPolicy: Never}
---
apiVersion: v1
kind: Pod
metadata: {name: finished, namespace: default}
spec:
  restartPolicy: Never
  containers:
  - name: app
    image: pilothouse/examples-bookinfo-details-v1:dev
    imagePullPolicy: Never
    command: [/usr/local/bin/bookinfo, get, "http://127.0.0.1:15021/healthz/ready"]
`

// metricsAreScraped runs a Prometheus by what deploy/dashboards gives: the configuration, with a shorter interval
// alone, and the rights. It finds each proxy once and the control plane once, and no place that does not answer. It
// has data for what Kiali asks, and Kiali's graph has the sample's calls.
func (w *world) metricsAreScraped(ctx context.Context, url string) {
	w.Helper()
	program, err := filepath.Abs(root + "/.tools/prometheus-kubernetes")
	if err == nil {
		program, err = filepath.EvalSymlinks(program)
	}
	if err != nil {
		w.Fatalf("no Prometheus: %v", err)
	}
	const interval = "scrape_interval: 15s"
	config := w.dashboardsFile("prometheus.yaml")
	if !strings.Contains(config, interval) {
		w.Fatalf("prometheus.yaml has no %s", interval)
	}
	w.kubectl(ctx, w.dashboardsFile("prometheus-rights.yaml"), "apply", "-f", "-")
	w.kubectl(ctx, strings.ReplaceAll(config, interval, "scrape_interval: 1s"), "create", "configmap", "prometheus", "-n", "istio-system", "--from-file=prometheus.yaml=/dev/stdin")
	pods := strings.ReplaceAll(observed, "PROGRAM", program)
	w.kubectl(ctx, pods, "apply", "-f", "-")
	w.kubectl(ctx, "", "wait", "--for=condition=Ready", "pod/prometheus", "-n", "istio-system", "--timeout="+patience.String())
	w.kubectl(ctx, "", "wait", "--for=condition=Ready", "pod/unmerged", "--timeout="+patience.String())
	w.kubectl(ctx, "", "wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/finished", "--timeout="+patience.String())

	l := loading(ctx, url)
	defer l.stop()
	pod, err := w.client.CoreV1().Pods("istio-system").Get(ctx, "prometheus", metav1.GetOptions{})
	if err != nil {
		w.Fatal(err)
	}
	server := prometheus.Server{URL: "http://" + pod.Status.PodIP + ":9090"}
	w.until(ctx, "the targets", func(ctx context.Context) (bool, error) { return w.targetsAre(ctx, server) })
	w.until(ctx, "calls of the sample in Kiali's graph", func(ctx context.Context) (bool, error) { return graphed(ctx, server) })
	w.kubectl(ctx, routes("reviews", weighted(map[string]int{"v1": 50, "v3": 50})), "apply", "-f", "-") // a change, which takes time to arrive
	w.until(ctx, "data for what Kiali asks", func(ctx context.Context) (bool, error) {
		for name, q := range prometheus.Kiali() {
			if strings.Contains(q, "istio_tcp_") { // the sample speaks HTTP here
				continue
			}
			if err := server.Has(ctx, q); err != nil {
				return false, fmt.Errorf("%s: %w", name, err)
			}
		}
		return true, nil
	})
	w.until(ctx, "each proxy by the names that dashboards ask for", func(ctx context.Context) (bool, error) { return counted(ctx, server) })
	l.end(w)
	w.kubectl(ctx, "", "delete", "virtualservice", "reviews")
	w.kubectl(ctx, pods, "delete", "--now", "-f", "-")
	w.kubectl(ctx, "", "delete", "configmap", "prometheus", "-n", "istio-system")
	w.kubectl(ctx, w.dashboardsFile("prometheus-rights.yaml"), "delete", "-f", "-")
}

func (w *world) dashboardsFile(name string) string {
	w.Helper()
	text, err := dashboards.Files.ReadFile(name)
	if err != nil {
		w.Fatal(err)
	}
	return string(text)
}

// targetsAre tells whether the targets are up and those that the pods give: one for each proxy, and one for each
// control plane.
func (w *world) targetsAre(ctx context.Context, server prometheus.Server) (bool, error) {
	pods, err := w.client.CoreV1().Pods("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return false, err
	}
	var want, got []string
	for _, p := range pods.Items {
		_, injected := p.Annotations[annotation.SidecarStatus.Name]
		switch {
		case p.Labels["app"] == "istiod":
			want = append(want, fmt.Sprintf("up istiod / http://%s:15014/metrics", p.Status.PodIP))
		case p.Name == "prometheus":
			want = append(want, fmt.Sprintf("up istiod / http://%s:9090/metrics", p.Status.PodIP), fmt.Sprintf("up kubernetes-pods istio-system/prometheus http://%s:9090/metrics", p.Status.PodIP))
		case p.Name == "unmerged":
			want = append(want, fmt.Sprintf("up envoy-stats default/unmerged http://%s:15090/stats/prometheus", p.Status.PodIP))
		case injected && p.Name != "finished":
			want = append(want, fmt.Sprintf("up envoy-stats %s/%s http://%s:15020/stats/prometheus", p.Namespace, p.Name, p.Status.PodIP))
		}
	}
	targets, err := server.Targets(ctx)
	if err != nil {
		return false, err
	}
	for _, t := range targets {
		got = append(got, fmt.Sprintf("%s %s %s/%s %s", t.Health, t.Labels["job"], t.Labels["namespace"], t.Labels["pod"], t.ScrapeURL))
	}
	slices.Sort(want)
	slices.Sort(got)
	if len(want) < 11 { // six of the sample, the gateway, the control plane, one that is not merged, and Prometheus as two
		return false, fmt.Errorf("only %d are wanted: %v", len(want), want)
	}
	return slices.Equal(want, got), fmt.Errorf("targets\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
}

// edges are the calls of the sample that pages take, by workload.
var edges = []string{
	"productpage-v1 details-v1", "productpage-v1 reviews-v1", "productpage-v1 reviews-v2", "productpage-v1 reviews-v3",
	"reviews-v2 ratings-v1", "reviews-v3 ratings-v1",
}

// graphed tells whether both sides of the sample's calls are counted, and Kiali's graph has them.
func graphed(ctx context.Context, server prometheus.Server) (bool, error) {
	for _, q := range []string{
		`sum(istio_requests_total{reporter="source",source_workload_namespace="default"}) by (source_workload,destination_workload)`,
		`sum(istio_requests_total{reporter="destination",source_workload_namespace="default"}) by (source_workload,destination_workload)`,
		prometheus.Kiali()[prometheus.KialiGraph],
	} {
		samples, err := server.Query(ctx, q)
		if err != nil {
			return false, err
		}
		var got []string
		for _, s := range samples {
			got = append(got, s.Labels["source_workload"]+" "+s.Labels["destination_workload"])
		}
		for _, c := range edges {
			if !slices.Contains(got, c) {
				return false, fmt.Errorf("%s has %q, and not %s", q, got, c)
			}
		}
	}
	return true, nil
}

// counted tells whether dashboards see each proxy once: those that the control plane has are those that have metrics.
func counted(ctx context.Context, server prometheus.Server) (bool, error) {
	proxies, err := server.Query(ctx, `sum(pilot_xds{job="istiod"})`)
	if err != nil {
		return false, err
	}
	pods, err := server.Query(ctx, `count(sum(envoy_server_memory_allocated{job="envoy-stats"}) by (namespace,pod))`)
	if err != nil {
		return false, err
	}
	same := len(proxies) == 1 && len(pods) == 1 && proxies[0].Value == pods[0].Value
	return same, fmt.Errorf("the control plane has %v proxies, and %v tell of themselves", proxies, pods)
}

// scrapersRightsAreUsed compares what Prometheus may do with what it did.
func (w *world) scrapersRightsAreUsed() {
	w.Helper()
	var allowed []grant
	for d := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(w.dashboardsFile("prometheus-rights.yaml"))), 4096); ; {
		var role rbacv1.ClusterRole // a Role has its rules in the same field
		if err := d.Decode(&role); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			w.Fatal(err)
		}
		for i := range role.Rules {
			allowed = append(allowed, grants(&role.Rules[i])...)
		}
	}
	if len(allowed) == 0 {
		w.Error("Prometheus has no rights")
	}
	calls := w.calls()
	for _, g := range allowed {
		if !slices.ContainsFunc(calls, func(c call) bool { return c.User.Username == scraper && g.allows(&c) }) {
			w.Errorf("Prometheus never used %s", g)
		}
	}
}

// scraper is whom the API server takes Prometheus for.
const scraper = "system:serviceaccount:istio-system:prometheus"
