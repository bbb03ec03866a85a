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

// The variable that says what OpenTelemetry says of a process (OpenTelemetry, "Environment Variable
// Specification"), and the attribute that names a service.
const (
	ResourceVariable = "OTEL_RESOURCE_ATTRIBUTES"
	resourceService  = "service.name="
)

// DatadogVariable names the service of what Datadog's tracer sends, over what its configuration says.
const DatadogVariable = "DD_SERVICE"

// ResourceAttributes adds to what the user says in ResourceVariable what a proxy's service is called,
// unless that says it.
func ResourceAttributes(users, service string) string {
	switch {
	case hasAttribute(users, resourceService):
		return users
	case users == "":
		return resourceService + service
	}
	return users + "," + resourceService + service
}

func hasAttribute(list, prefix string) bool {
	for a := range strings.SplitSeq(list, ",") {
		if strings.HasPrefix(strings.TrimSpace(a), prefix) {
			return true
		}
	}
	return false
}
