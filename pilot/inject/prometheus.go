package inject

import (
	"encoding/json"
	"fmt"
	"strconv"

	"istio.io/api/annotation"
	corev1 "k8s.io/api/core/v1"
)

// envPrometheus is the variable by which the agent knows where the application's own metrics are.
const envPrometheus = "ISTIO_PROMETHEUS_ANNOTATIONS"

// The annotations by which Prometheus finds a pod's metrics.
const (
	prometheusScrape = "prometheus.io/scrape"
	prometheusPath   = "prometheus.io/path"
	prometheusPort   = "prometheus.io/port"
	prometheusScheme = "prometheus.io/scheme"

	// mergedPath is where the agent serves all metrics of the pod.
	mergedPath = "/stats/prometheus"
)

// scrape is where an application's metrics are.
type scrape struct {
	Scrape string `json:"scrape"`
	Path   string `json:"path"`
	Port   string `json:"port"`
	Scheme string `json:"scheme,omitempty"`
}

// mergePrometheus points Prometheus to the agent, which adds the application's metrics to the
// proxy's; unless the pod wants no scraping, or no merging.
func mergePrometheus(pod *corev1.Pod, data *templateData) error {
	proxy := findProxy(pod)
	merge := data.MeshConfig.EnablePrometheusMerge == nil || data.MeshConfig.EnablePrometheusMerge.Value
	merge = annotatedBool(pod, annotation.PrometheusMergeMetrics.Name, merge)
	a := pod.Annotations
	if s, ok := a[prometheusScrape]; ok && s != "true" {
		merge = false
	}
	if proxy == nil || !merge || data.StatusPort == 0 {
		return nil
	}
	port := strconv.Itoa(data.StatusPort)
	if a[prometheusPort] == port {
		// The user wants this already; the agent would ask itself.
		return nil
	}
	own := scrape{a[prometheusScrape], a[prometheusPath], a[prometheusPort], a[prometheusScheme]}
	if own != (scrape{}) {
		text, err := json.Marshal(own)
		if err != nil {
			return fmt.Errorf("writing %s: %w", envPrometheus, err)
		}
		setEnv(proxy, envPrometheus, string(text))
	}
	delete(a, prometheusScheme)
	setAnnotations(pod, map[string]string{prometheusScrape: "true", prometheusPath: mergedPath, prometheusPort: port})
	return nil
}

// restorePrometheus is the inverse of mergePrometheus.
func restorePrometheus(pod *corev1.Pod, env []corev1.EnvVar) error {
	if pod.Annotations[prometheusPath] != mergedPath {
		return nil
	}
	var own scrape
	if text := getEnv(env, envPrometheus); text != "" {
		if err := json.Unmarshal([]byte(text), &own); err != nil {
			return fmt.Errorf("container %s: %s of an earlier injection: %w", ProxyContainer, envPrometheus, err)
		}
	}
	for name, value := range map[string]string{
		prometheusScrape: own.Scrape, prometheusPath: own.Path,
		prometheusPort: own.Port, prometheusScheme: own.Scheme,
	} {
		delete(pod.Annotations, name)
		if value != "" {
			pod.Annotations[name] = value
		}
	}
	return nil
}
