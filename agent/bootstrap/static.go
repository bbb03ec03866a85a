package bootstrap

import (
	"fmt"
	"net"
	"strconv"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

// clusters are those that Envoy needs before discovery, or to reach it.
func clusters(c Config) list {
	// One stream for each connection: ADS is one long stream, and a new one after a break must not
	// land on a connection that is about to go.
	xds := pipeCluster("xds-grpc", c.XDSSocket, object{"max_requests_per_connection": 1})
	xds["circuit_breakers"] = object{"thresholds": list{breaker("DEFAULT"), breaker("HIGH")}}
	out := list{
		tcpCluster("prometheus_stats", "STATIC", c.loopback(), c.Proxy.AdminPort),
		tcpCluster("agent", "STATIC", c.loopback(), c.Proxy.StatusPort),
		pipeCluster("sds-grpc", c.SDSSocket, object{}),
		xds,
	}
	if c.TapSocket != "" {
		out = append(out, pipeCluster(telemetry.TapCluster, c.TapSocket, object{}))
	}
	return out
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
	c["typed_extension_protocol_options"] = http2Options(common)
	return c
}

func http2Options(common object) object {
	options := object{
		"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
		"explicit_http_config": object{"http2_protocol_options": object{}},
	}
	if len(common) > 0 {
		options["common_http_protocol_options"] = common
	}
	return object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": options}
}

func cluster(name, discovery string, address object) object {
	return object{
		"name":            name,
		"alt_stat_name":   name + ";", // as the control plane names its own
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
