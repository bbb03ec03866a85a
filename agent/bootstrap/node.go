package bootstrap

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"

	"github.com/pilothouse-mesh/pilothouse/agent/proxyconfig"
	bootstrappb "github.com/pilothouse-mesh/pilothouse/proto/bootstrap"
	"github.com/pilothouse-mesh/pilothouse/proto/locality"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// IstioVersion is the release of Istio whose behaviour the agent has; control planes and tools
// decide by it.
const IstioVersion = "1.32.0"

const (
	metaPrefix     = "ISTIO_META_"
	metaJSONPrefix = "ISTIO_METAJSON_"
)

// Node is who this proxy is.
type Node struct {
	Type           string // sidecar or router
	IPs            []string
	Pod            string
	Namespace      string
	Domain         string // default.svc.cluster.local
	ServiceAccount string
	Labels         map[string]string
	Annotations    map[string]string
	// PilotSANs are the names that the control plane's certificate may have.
	PilotSANs []string
	// Env is the container's environment with proxyMetadata; ISTIO_META_ and ISTIO_METAJSON_ count.
	Env map[string]string
	// EnvoyVersion of the program that is started, such as 1.40.0; empty when unknown.
	EnvoyVersion string
}

// ID is type~ip~pod.namespace~domain.
func (n Node) ID() string {
	return strings.Join([]string{n.Type, n.IPs[0], n.Pod + "." + n.Namespace, n.Domain}, "~")
}

// check refuses what would give an ID that no control plane can take apart.
func (n Node) check() error {
	if len(n.IPs) == 0 {
		return fmt.Errorf("bootstrap: node %s.%s has no IP address: set INSTANCE_IP", n.Pod, n.Namespace)
	}
	for _, ip := range n.IPs {
		if _, err := netip.ParseAddr(ip); err != nil {
			return fmt.Errorf("bootstrap: node %s.%s: INSTANCE_IP: %w", n.Pod, n.Namespace, err)
		}
	}
	for _, f := range []struct{ field, value string }{
		{"type", n.Type}, {"POD_NAME", n.Pod}, {"POD_NAMESPACE", n.Namespace}, {"--domain", n.Domain},
	} {
		if f.value == "" {
			return fmt.Errorf("bootstrap: the node's %s is not set", f.field)
		}
		if strings.ContainsAny(f.value, "~ ") {
			return fmt.Errorf("bootstrap: the node's %s %q holds a character that a node ID cannot", f.field, f.value)
		}
	}
	return nil
}

func (c Config) node() object {
	node := object{
		"id":       c.Node.ID(),
		"cluster":  c.Node.ServiceName(c.Proxy),
		"metadata": c.metadata(),
	}
	if locality := c.Node.locality(); len(locality) > 0 {
		node["locality"] = locality
	}
	return node
}

// ServiceName is the node's service cluster, by which tracing knows it: ProxyConfig's, else the app label, else
// the workload, with the namespace; or the canonical name where tracingServiceName says so.
func (n Node) ServiceName(p *proxyconfig.Config) string {
	workload := cmp.Or(n.Env["ISTIO_META_WORKLOAD_NAME"], proxyconfig.DefaultServiceCluster)
	canonical := cmp.Or(n.Labels["service.istio.io/canonical-name"], n.Labels["app.kubernetes.io/name"], n.Labels["app"], workload)
	switch {
	case p.NameForTraces == "CANONICAL_NAME_ONLY":
		return canonical
	case p.NameForTraces == "CANONICAL_NAME_AND_NAMESPACE":
		return canonical + "." + n.Namespace
	case p.ServiceCluster != "" && p.ServiceCluster != proxyconfig.DefaultServiceCluster:
		return p.ServiceCluster
	}
	return cmp.Or(n.Labels["app"], workload) + "." + n.Namespace
}

// locality follows the pod's label for it. Without one the control plane decides by the labels that
// tell the topology of the pod's node.
func (n Node) locality() object {
	region, zone, subZone := locality.Parse(locality.Text(n.Labels))
	out := object{}
	for field, value := range map[string]string{"region": region, "zone": zone, "sub_zone": subZone} {
		if value != "" {
			out[field] = value
		}
	}
	return out
}

// metadata is what the control plane and the tools know of the proxy. Variables come first, so
// that what the agent knows itself is not overwritten by them.
func (c Config) metadata() object {
	n := c.Node
	m := envMetadata(n.Env)
	for key, value := range map[string]string{
		"NAME":            n.Pod,
		"NAMESPACE":       n.Namespace,
		"SERVICE_ACCOUNT": n.ServiceAccount,
		"INSTANCE_IPS":    strings.Join(n.IPs, ","),
		"ISTIO_VERSION":   IstioVersion,
		"ENVOY_VERSION":   n.EnvoyVersion,
	} {
		if value != "" {
			m[key] = value
		}
	}
	m["LABELS"] = nonNil(n.Labels)
	m["ANNOTATIONS"] = nonNil(n.Annotations)
	m["PROXY_CONFIG"] = c.Proxy.Raw
	if len(n.PilotSANs) > 0 {
		m["PILOT_SAN"] = n.PilotSANs
	}
	m[telemetry.ShortPeerMetadata] = "true"
	if c.AsksForPatches {
		m[bootstrappb.Asked] = "true"
	}
	m["ENVOY_STATUS_PORT"] = c.HealthPort
	m["ENVOY_PROMETHEUS_PORT"] = c.PrometheusPort
	for key, port := range map[string]int{
		"ENVOY_SECURE_METRICS_PORT": c.SecureMetricsPort, "ENVOY_SECURE_MERGED_METRICS_PORT": c.SecureMergedMetricsPort,
	} {
		if port != 0 {
			m[key] = port
		}
	}
	return m
}

func nonNil(m map[string]string) map[string]string {
	if m == nil {
		return map[string]string{}
	}
	return m
}

// envMetadata reads ISTIO_META_KEY=text and ISTIO_METAJSON_KEY={object}, whose entries are metadata
// of their own. A METAJSON variable that holds no object stands under its own name. Of two that
// give the same key the plain one wins, then the later name.
func envMetadata(env map[string]string) object {
	m := object{}
	names := slices.Sorted(maps.Keys(env))
	for _, name := range names {
		key, ok := strings.CutPrefix(name, metaJSONPrefix)
		if !ok || key == "" {
			continue
		}
		var value any
		if json.Unmarshal([]byte(env[name]), &value) != nil {
			value = env[name]
		}
		if entries, ok := value.(object); ok {
			maps.Copy(m, entries)
		} else {
			m[key] = value
		}
	}
	for _, name := range names {
		if key, ok := strings.CutPrefix(name, metaPrefix); ok && key != "" {
			m[key] = env[name]
		}
	}
	return m
}
