// Package bootstrap builds the file that Envoy starts with: who the node is, where its
// configuration and certificates come from (two Unix sockets of the agent), and what must answer
// before any configuration has come: admin, metrics and health.
//
// It is built as plain JSON values, not as messages: Envoy checks it anyway, and the agent stays
// small. The same input gives the same bytes.
package bootstrap

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/pilothouse-mesh/pilothouse/agent/proxyconfig"
)

// The ports that Istio's users, charts and iptables rules know.
const (
	// HealthPort answers /healthz/ready through Envoy.
	HealthPort = 15021
	// PrometheusPort answers /stats/prometheus with Envoy's own metrics.
	PrometheusPort = 15090
)

// Config is what a bootstrap is made of.
type Config struct {
	Node  Node
	Proxy *proxyconfig.Config
	// XDSSocket is the path of the agent's ADS socket.
	XDSSocket string
	// SDSSocket is the path of the socket that serves the workload's certificate.
	SDSSocket string
	// TapSocket is the path of the socket that takes what Envoy logs of requests while somebody watches them; empty for
	// none.
	TapSocket string
	// HealthPort and PrometheusPort are Envoy's own two listeners; 0 is the usual port.
	HealthPort, PrometheusPort int
	// StateOfTheWorld asks for the SotW variant of ADS instead of delta.
	StateOfTheWorld bool
	// OutlierLogPath is where outlier detection logs its events; empty is nowhere.
	OutlierLogPath string
	// SecureMetricsPort and SecureMergedMetricsPort serve Envoy's metrics, and those of the whole pod,
	// to clients with a certificate of the mesh; 0 is none. Their usual ports are 15091 and 15092.
	SecureMetricsPort, SecureMergedMetricsPort int
	// MetricsLocalOnly binds PrometheusPort to loopback.
	MetricsLocalOnly bool
	// LogAsJSON makes Envoy's log lines JSON objects.
	LogAsJSON bool
	// MemoryLimit of the container in bytes; 0 is none. A gateway's Envoy turns callers away before it.
	MemoryLimit int64
	// AsksForPatches tells that the agent asks what EnvoyFilters put over the bootstrap, which the node says.
	AsksForPatches bool
}

// object and list are JSON values; encoding/json writes an object's keys in order.
type (
	object = map[string]any
	list   = []any
)

// Build gives the bootstrap as JSON.
func Build(c Config) ([]byte, error) {
	if err := c.Node.check(); err != nil {
		return nil, err
	}
	if c.Proxy == nil {
		return nil, errors.New("bootstrap: no ProxyConfig")
	}
	if c.HealthPort == 0 {
		c.HealthPort = HealthPort
	}
	if c.PrometheusPort == 0 {
		c.PrometheusPort = PrometheusPort
	}
	b := object{
		"node":                   c.node(),
		"admin":                  admin(c),
		"application_log_config": applicationLog(c.LogAsJSON),
		"bootstrap_extensions":   list{internalListener()},
		"dynamic_resources":      dynamicResources(c.StateOfTheWorld),
		"cluster_manager":        clusterManager(c.OutlierLogPath),
		"deferred_stat_options":  object{"enable_deferred_creation_stats": true},
	}
	c.addRuntime(b)
	if err := c.addOverload(b); err != nil {
		return nil, err
	}
	if err := c.addStats(b); err != nil {
		return nil, err
	}
	clusters := clusters(c)
	more, err := c.addTelemetry(b)
	if err != nil {
		return nil, err
	}
	b["static_resources"] = object{"clusters": append(clusters, more...), "listeners": listeners(c)}
	data, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("bootstrap: %w", err)
	}
	return append(data, '\n'), nil
}

// Write puts a bootstrap into its place, in one step: a reader sees the old file or the new one.
func Write(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, data, 0o644); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("bootstrap: %w", err)
	}
	return nil
}

// ipv6 says that the pod has IPv6 only, or first: what Envoy binds follows.
func (c Config) ipv6() bool {
	ip, err := netip.ParseAddr(c.Node.IPs[0])
	return err == nil && ip.Is6() && !ip.Is4In6()
}

func (c Config) loopback() string {
	if c.ipv6() {
		return "::1"
	}
	return "127.0.0.1"
}

func (c Config) wildcard() string {
	if c.ipv6() {
		return "::"
	}
	return "0.0.0.0"
}

func admin(c Config) object {
	return object{
		"address":                  socketAddress(c.loopback(), c.Proxy.AdminPort),
		"profile_path":             "/var/lib/istio/data/envoy.prof",
		"ignore_global_conn_limit": true,
	}
}

// applicationLog gives Envoy's log the shape that Istio's users parse.
func applicationLog(asJSON bool) object {
	if asJSON {
		return object{"log_format": object{"json_format": object{
			"time": "%Y-%m-%dT%T.%fZ", "level": "%l", "scope": "envoy %n", "msg": "%j", "caller": "%g:%#", "thread": "%t",
		}}}
	}
	return object{"log_format": object{"text_format": "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t"}}
}

// clusterManager makes what only serves traffic of a cluster when its first request comes. Most of a
// mesh's clusters are never used by a proxy: with deferred statistics this saves a fifth of Envoy's
// heap for 1,000 clusters and two workers, a third with eight.
func clusterManager(outlierLog string) object {
	m := object{"enable_deferred_cluster_creation": true}
	if outlierLog != "" {
		m["outlier_detection"] = object{"event_log_path": outlierLog}
	}
	return m
}

func internalListener() object {
	return object{
		"name": "envoy.bootstrap.internal_listener",
		"typed_config": object{
			"@type":          "type.googleapis.com/envoy.extensions.bootstrap.internal_listener.v3.InternalListener",
			"buffer_size_kb": 64,
		},
	}
}

// dynamicResources has no time limit for the first clusters and listeners: a proxy without
// configuration must stay unready instead of running empty.
func dynamicResources(sotw bool) object {
	api := "DELTA_GRPC"
	if sotw {
		api = "GRPC"
	}
	source := object{"ads": object{}, "initial_fetch_timeout": "0s", "resource_api_version": "V3"}
	return object{
		"lds_config": source,
		"cds_config": source,
		"ads_config": object{
			"api_type":                       api,
			"set_node_on_first_message_only": true,
			"transport_api_version":          "V3",
			"grpc_services":                  list{object{"envoy_grpc": object{"cluster_name": "xds-grpc"}}},
		},
	}
}
