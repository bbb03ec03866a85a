package bootstrap

import (
	"fmt"
	"math"
	"strconv"
)

const (
	// runtimeConnections is the name under which Envoy's runtime had the limit of connections before
	// the overload manager; users set it still.
	runtimeConnections = "overload.global_downstream_max_connections"
	metaConnections    = "ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS"
	// edgeConnections bounds a gateway's connections, which are anyone's, as Envoy's guide for the edge
	// says (https://www.envoyproxy.io/docs/envoy/latest/configuration/best_practices/edge).
	edgeConnections = 50000
)

// addRuntime gives the runtime, with ProxyConfig's runtimeValues over ours, and the limit of
// connections. The admin layer stays last, so that a debugging user's value wins.
func (c Config) addRuntime(b object) error {
	static := object{
		// Paths with a fragment are passed on, as Istio's proxies do; the application decides.
		"envoy.reloadable_features.http_reject_path_with_fragment": false,
		"re2.max_program_size.error_level":                         32768,
	}
	for name, value := range c.Proxy.Runtime {
		switch {
		case name == runtimeConnections:
		case value == "":
			delete(static, name)
		default:
			static[name] = runtimeValue(value)
		}
	}
	b["layered_runtime"] = object{"layers": list{
		object{"name": "global config", "static_layer": static},
		object{"name": "admin", "admin_layer": object{}},
	}}
	limit, err := c.connectionLimit()
	if err != nil {
		return err
	}
	b["overload_manager"] = object{"resource_monitors": list{object{
		"name": "envoy.resource_monitors.global_downstream_max_connections",
		"typed_config": object{
			"@type":                             "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
			"max_active_downstream_connections": limit,
		},
	}}}
	return nil
}

// runtimeValue gives a value the type that Envoy wants: it no longer takes "true" for true.
func runtimeValue(text string) any {
	switch text {
	case "true":
		return true
	case "false":
		return false
	}
	return text
}

// connectionLimit is ProxyConfig's, else the variable's, else the runtime's; else a gateway has that of
// the edge, and a sidecar the greatest number: the kernel's limit of open files is the one that counts.
func (c Config) connectionLimit() (int, error) {
	if c.Proxy.ConnectionLimit > 0 {
		return c.Proxy.ConnectionLimit, nil
	}
	for _, from := range []struct{ source, text string }{
		{metaConnections, c.Node.Env[metaConnections]},
		{"runtimeValues: " + runtimeConnections, c.Proxy.Runtime[runtimeConnections]},
	} {
		if from.text == "" {
			continue
		}
		n, err := strconv.ParseInt(from.text, 10, 32)
		if err != nil || n < 1 {
			return 0, fmt.Errorf("bootstrap: %s: %q is no number of connections", from.source, from.text)
		}
		return int(n), nil
	}
	if c.Node.Type == "router" {
		return edgeConnections, nil
	}
	return math.MaxInt32, nil
}
