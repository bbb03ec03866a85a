package bootstrap

import (
	"fmt"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

const (
	hcmType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"

	metricsPath = "/stats/prometheus"
	// compressionAnnotation leaves one of Envoy's compressors for its metrics.
	compressionAnnotation = "sidecar.istio.io/statsCompression"
)

// page is what a listener serves: paths from one cluster, and 404 for everything else.
type page struct {
	statPrefix string
	host       string
	port       int
	paths      []string
	rewrite    string // in the path's place; "" leaves it
	cluster    string
	filters    list // before the router
	secure     bool // for clients with a certificate of the mesh
}

// listeners answer metrics and health from outside the pod.
func listeners(c Config) list {
	metrics := page{"stats", c.wildcard(), c.PrometheusPort, []string{metricsPath}, telemetry.MetricsPath, "agent", compressors(c), false}
	if c.MetricsLocalOnly {
		metrics.host = c.loopback()
	}
	pages := []page{metrics}
	if c.SecureMetricsPort != 0 {
		pages = append(pages, page{"secure_stats", c.wildcard(), c.SecureMetricsPort, []string{metricsPath}, telemetry.MetricsPath, "agent", nil, true})
	}
	if c.SecureMergedMetricsPort != 0 {
		pages = append(pages, page{"secure_merged_stats", c.wildcard(), c.SecureMergedMetricsPort, []string{metricsPath, "/metrics"}, "", "agent", nil, true})
	}
	pages = append(pages, page{"agent", c.wildcard(), c.HealthPort, []string{"/healthz/ready"}, "", "agent", nil, false})
	var out list
	for _, p := range pages {
		out = append(out, p.listener())
	}
	return out
}

// listener stands above overload and connection limits: a busy proxy must not look like a dead one.
func (p page) listener() object {
	chain := object{"filters": list{p.connectionManager()}}
	l := object{
		"name":                     fmt.Sprintf("%s_%d", p.host, p.port),
		"address":                  socketAddress(p.host, p.port),
		"bypass_overload_manager":  true,
		"ignore_global_conn_limit": true,
		"filter_chains":            list{chain},
	}
	if p.secure {
		l["listener_filters"] = list{object{
			"name":         "envoy.filters.listener.tls_inspector",
			"typed_config": object{"@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"},
		}}
		chain["filter_chain_match"] = object{"transport_protocol": "tls"}
		chain["transport_socket"] = meshTLS()
	}
	return l
}

func (p page) connectionManager() object {
	var routes list
	for _, path := range p.paths {
		route := object{"cluster": p.cluster}
		if p.rewrite != "" {
			route["prefix_rewrite"] = p.rewrite
		}
		routes = append(routes, object{"match": object{"prefix": path}, "route": route})
	}
	filters := append(append(list{}, p.filters...), object{
		"name":         "envoy.filters.http.router",
		"typed_config": object{"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
	})
	return object{
		"name": "envoy.filters.network.http_connection_manager",
		"typed_config": object{
			"@type":        "type.googleapis.com/" + hcmType,
			"codec_type":   "AUTO",
			"stat_prefix":  p.statPrefix,
			"route_config": object{"virtual_hosts": list{object{"name": "backend", "domains": list{"*"}, "routes": routes}}},
			"http_filters": filters,
		},
	}
}

// meshTLS asks for a client certificate that one of the mesh's own roots signed: nothing here asks which foreign
// trust domains may call. Until the agent has the workload's certificate the listener closes what comes.
func meshTLS() object {
	return object{
		"name": "envoy.transport_sockets.tls",
		"typed_config": object{
			"@type":                      "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
			"require_client_certificate": true,
			"common_tls_context": object{
				"tls_certificate_sds_secret_configs": list{sdsSecret("default")},
				"combined_validation_context":        validation("ROOTCA", nil),
			},
		},
	}
}

// compressors make a scrape small for who accepts it: all that Envoy has, or the one of the pod's
// annotation, or none where ProxyConfig turns it off.
func compressors(c Config) list {
	only := c.Node.Annotations[compressionAnnotation]
	types := []struct{ name, library string }{{"brotli", "Brotli"}, {"zstd", "Zstd"}, {"gzip", "Gzip"}}
	known := false
	for _, t := range types {
		known = known || t.name == only
	}
	if c.Proxy.Uncompressed && !known {
		return nil
	}
	var out list
	for _, t := range types {
		if known && t.name != only {
			continue
		}
		out = append(out, object{
			"name": "envoy.filters.http.compressor." + t.name,
			"typed_config": object{
				"@type": "type.googleapis.com/envoy.extensions.filters.http.compressor.v3.Compressor",
				"compressor_library": object{
					"name":         "stats_" + t.name,
					"typed_config": object{"@type": "type.googleapis.com/envoy.extensions.compression." + t.name + ".compressor.v3." + t.library},
				},
			},
		})
	}
	return out
}
