package telemetry

import (
	"cmp"
	"strings"
)

// TraceTag is a tag that Istio gives every span, whose value a proxy has in its environment.
type TraceTag struct {
	Name     string
	Variable string // of the environment of Envoy's process
	Default  string // where the variable is not set
}

// unknown stands for what a proxy does not know of itself.
const unknown = "unknown"

// TraceTags gives Istio's tags, sorted by name.
func TraceTags() []TraceTag {
	return []TraceTag{
		{"istio.canonical_revision", "ISTIO_TRACE_CANONICAL_REVISION", latest},
		{"istio.canonical_service", "ISTIO_TRACE_CANONICAL_SERVICE", unknown},
		{"istio.cluster_id", "ISTIO_TRACE_CLUSTER_ID", unknown},
		{"istio.mesh_id", "ISTIO_TRACE_MESH_ID", unknown},
		{"istio.namespace", "ISTIO_TRACE_NAMESPACE", unknown},
	}
}

// TraceEnvironment gives the variables of TraceTags for a workload's proxy.
func (w Workload) TraceEnvironment(mesh string) map[string]string {
	values := []string{w.Revision, w.Canonical, w.Cluster, mesh, w.Namespace}
	out := map[string]string{}
	for i, t := range TraceTags() {
		out[t.Variable] = cmp.Or(values[i], t.Default)
	}
	return out
}

// ResourceVariable says what OpenTelemetry says of a process, as a=b,c=d (OpenTelemetry, "Environment Variable
// Specification"). ServiceVariable has the same form, and what injection knows of a pod's service.
const (
	ResourceVariable = "OTEL_RESOURCE_ATTRIBUTES"
	ServiceVariable  = "ISTIO_RESOURCE_ATTRIBUTES"
)

// DatadogVariable names the service of what Datadog's tracer sends, over what its configuration says.
const DatadogVariable = "DD_SERVICE"

// ResourceAttributes adds to what the user says in ResourceVariable what ServiceVariable says, and then what the
// proxy's service is called. Of several that name an attribute the first counts. What is no name with a value is left
// out, as Envoy does.
func ResourceAttributes(users, injected, service string) string {
	out, seen := []string{}, map[string]bool{}
	for a := range strings.SplitSeq(users+","+injected+",service.name="+service, ",") {
		key, value, _ := strings.Cut(a, "=")
		key, value = strings.TrimSpace(key), strings.TrimSpace(value)
		if key != "" && value != "" && !strings.Contains(value, "=") && !seen[key] {
			seen[key] = true
			out = append(out, key+"="+value)
		}
	}
	return strings.Join(out, ",")
}
