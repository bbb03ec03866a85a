package inject

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"istio.io/api/annotation"
	corev1 "k8s.io/api/core/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
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

// The variables of the proxy by which metrics are served to holders of a certificate.
const (
	envSecureMerged = "ENVOY_SECURE_MERGED_METRICS_PORT"
	envSecureEnvoy  = "ENVOY_SECURE_METRICS_PORT"
)

// scrape is where an application's metrics are.
type scrape struct {
	Scrape  string   `json:"scrape"`
	Path    string   `json:"path"`
	Port    string   `json:"port"`
	Scheme  string   `json:"scheme,omitempty"`
	Targets []target `json:"targets,omitempty"`
}

// target is one of several places of an application's metrics.
type target struct {
	Port string `json:"port"`
	Path string `json:"path"`
}

// ownScrape reads the pod's own annotations. Prometheus sees their names with every character that is no
// letter or digit as an underscore, so that users spell them in several ways.
func ownScrape(annotations map[string]string) (s scrape, names []string) {
	fields := []struct {
		name  string
		value *string
	}{{prometheusScrape, &s.Scrape}, {prometheusPath, &s.Path}, {prometheusPort, &s.Port}, {prometheusScheme, &s.Scheme}}
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		for _, f := range fields {
			if sameToPrometheus(name, f.name) {
				*f.value = annotations[name]
				names = append(names, name)
			}
		}
	}
	return s, names
}

// sameToPrometheus tells whether Prometheus takes a name for one that is in ASCII.
func sameToPrometheus(name, known string) bool {
	at := 0
	for _, r := range name {
		if at == len(known) || asPrometheus(r) != asPrometheus(rune(known[at])) {
			return false
		}
		at++
	}
	return at == len(known)
}

func asPrometheus(r rune) rune {
	if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
		return r
	}
	return '_'
}

// mergePrometheus points Prometheus to the agent, which adds the application's metrics to the
// proxy's; unless the pod wants no scraping, or no merging. That is at the mesh's port also where a pod
// turns its probes off.
func (in *Injector) mergePrometheus(pod *corev1.Pod, data *templateData) error {
	proxy := findProxy(pod)
	merge := data.MeshConfig.EnablePrometheusMerge == nil || data.MeshConfig.EnablePrometheusMerge.Value
	merge = annotatedBool(pod, annotation.PrometheusMergeMetrics.Name, merge)
	own, names := ownScrape(pod.Annotations)
	if wanted, err := strconv.ParseBool(own.Scrape); err == nil && !wanted {
		merge = false
	}
	if proxy == nil || !merge {
		return nil
	}
	agent := cmp.Or(data.StatusPort, int(data.MeshConfig.GetDefaultConfig().GetStatusPort()), defaultStatusPort)
	port := strconv.Itoa(agent)
	if own.Port == port {
		// The user wants this already; the agent would ask itself.
		return nil
	}
	var err error
	if own.Targets, err = parseTargets(pod.Annotations[model.AnnotationScrapeTargets], agent); err != nil {
		return fmt.Errorf("annotation %s: %w", model.AnnotationScrapeTargets, err)
	}
	if len(own.Targets) > 0 { // also for an agent that knows one target
		own.Scrape, own.Port, own.Path = "true", own.Targets[0].Port, own.Targets[0].Path
	}
	if own.Scrape != "" || own.Path != "" || own.Port != "" || own.Scheme != "" {
		text, err := json.Marshal(own)
		if err != nil {
			return fmt.Errorf("writing %s: %w", envPrometheus, err)
		}
		setEnv(proxy, envPrometheus, string(text))
	}
	for _, name := range names {
		delete(pod.Annotations, name)
	}
	setAnnotations(pod, map[string]string{prometheusScrape: "true", prometheusPath: mergedPath, prometheusPort: port})
	return nil
}

// parseTargets reads PORT:PATH pairs, separated by commas; a path that is left out is /metrics. Ports of the
// proxy and the agent are refused: their metrics are merged anyway.
func parseTargets(text string, agent int) ([]target, error) {
	var out []target
	for _, part := range strings.Split(text, ",") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		port, path, _ := strings.Cut(part, ":")
		port = strings.TrimSpace(port)
		if err := checkPort(port); err != nil {
			return nil, fmt.Errorf("%q is not PORT:PATH: %w", part, err)
		}
		n, _ := strconv.Atoi(port)
		if why := reservedPorts[n]; why != "" || n == agent {
			return nil, fmt.Errorf("port %d is the proxy's: %s", n, cmp.Or(why, "the agent's status"))
		}
		out = append(out, target{port, cmp.Or(strings.TrimSpace(path), "/metrics")})
	}
	return out, nil
}

// reservedPorts are those of a sidecar.
var reservedPorts = map[int]string{
	15000: "Envoy's admin interface", 15001: "outbound connections", 15004: "debugging", 15006: "inbound connections",
	15008: "HBONE tunnels", 15020: "the agent's status", 15021: "health", 15053: "DNS", 15090: "Envoy's metrics",
}

// annotateSecurePorts tells Prometheus where metrics are served by mutual TLS, unless the user did.
func annotateSecurePorts(pod *corev1.Pod) {
	proxy := findProxy(pod)
	if proxy == nil {
		return
	}
	for name, variable := range map[string]string{model.AnnotationSecurePort: envSecureMerged, model.AnnotationSecureEnvoyPort: envSecureEnvoy} {
		port := getEnv(proxy.Env, variable)
		if _, own := pod.Annotations[name]; port != "" && port != "0" && !own {
			setAnnotations(pod, map[string]string{name: port})
		}
	}
}

// restorePrometheus is the inverse of mergePrometheus.
func restorePrometheus(pod *corev1.Pod, env []corev1.EnvVar) error {
	if pod.Annotations[prometheusPath] != mergedPath {
		return nil
	}
	var own scrape
	if text := getEnv(env, envPrometheus); text != "" {
		if err := json.Unmarshal([]byte(text), &own); err != nil {
			return fmt.Errorf("container %s: %s of an earlier injection: %w", model.ProxyContainer, envPrometheus, err)
		}
	}
	if len(own.Targets) > 0 { // these come from another annotation, which is still there
		own = scrape{}
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
