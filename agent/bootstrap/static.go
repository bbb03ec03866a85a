package bootstrap

import (
	"fmt"
	"net"
	"strconv"
)

// clusters are those that Envoy needs before discovery, or to reach it.
func clusters(c Config) (list, error) {
	// One stream for each connection: ADS is one long stream, and a new one after a break must not
	// land on a connection that is about to go.
	xds := pipeCluster("xds-grpc", c.XDSSocket, object{"max_requests_per_connection": 1})
	xds["circuit_breakers"] = object{"thresholds": list{breaker("DEFAULT"), breaker("HIGH")}}
	all := list{
		tcpCluster("prometheus_stats", "STATIC", c.loopback(), c.Proxy.AdminPort),
		tcpCluster("agent", "STATIC", c.loopback(), c.Proxy.StatusPort),
		pipeCluster("sds-grpc", c.SDSSocket, object{}),
		xds,
	}
	if c.Proxy.ZipkinAddress != "" {
		host, port, err := splitAddress(c.Proxy.ZipkinAddress)
		if err != nil {
			return nil, fmt.Errorf("bootstrap: tracing.zipkin.address: %w", err)
		}
		all = append(all, tcpCluster("zipkin", "STRICT_DNS", host, port))
	}
	return all, nil
}

func splitAddress(address string) (string, int, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 || host == "" {
		return "", 0, fmt.Errorf("%q is not host:port", address)
	}
	return host, int(port), nil
}

func breaker(priority string) object {
	const many = 100000
	return object{"priority": priority, "max_connections": many, "max_pending_requests": many, "max_requests": many}
}

func tcpCluster(name, discovery, host string, port int) object {
	return cluster(name, discovery, socketAddress(host, port))
}

// pipeCluster speaks HTTP/2 to a Unix socket of the agent.
func pipeCluster(name, path string, common object) object {
	c := cluster(name, "STATIC", object{"pipe": object{"path": path}})
	c["typed_extension_protocol_options"] = object{
		"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
			"@type":                        "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"common_http_protocol_options": common,
			"explicit_http_config":         object{"http2_protocol_options": object{}},
		},
	}
	return c
}

func cluster(name, discovery string, address object) object {
	return object{
		"name":            name,
		"type":            discovery,
		"connect_timeout": "1s",
		"lb_policy":       "ROUND_ROBIN",
		"load_assignment": object{
			"cluster_name": name,
			"endpoints": list{object{"lb_endpoints": list{
				object{"endpoint": object{"address": address}},
			}}},
		},
	}
}

func socketAddress(host string, port int) object {
	return object{"socket_address": object{"address": host, "port_value": port}}
}

// listeners answer metrics and health from outside the pod. They stand above overload and
// connection limits: a busy proxy must not look like a dead one.
func listeners(c Config) list {
	return list{
		pathListener(c, "prometheus", c.PrometheusPort, "/stats/prometheus", "prometheus_stats"),
		pathListener(c, "health", c.HealthPort, "/healthz/ready", "agent"),
	}
}

// pathListener serves one path from one cluster, and 404 for everything else.
func pathListener(c Config, name string, port int, path, cluster string) object {
	const hcm = "envoy.filters.network.http_connection_manager"
	return object{
		"name":                     name,
		"address":                  socketAddress(c.wildcard(), port),
		"bypass_overload_manager":  true,
		"ignore_global_conn_limit": true,
		"filter_chains": list{object{"filters": list{object{
			"name": hcm,
			"typed_config": object{
				"@type":       "type.googleapis.com/" + hcmType,
				"codec_type":  "AUTO",
				"stat_prefix": name,
				"route_config": object{"virtual_hosts": list{object{
					"name":    "backend",
					"domains": list{"*"},
					"routes": list{object{
						"match": object{"prefix": path},
						"route": object{"cluster": cluster},
					}},
				}}},
				"http_filters": list{object{
					"name":         "envoy.filters.http.router",
					"typed_config": object{"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"},
				}},
			},
		}}}},
	}
}

const hcmType = "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
