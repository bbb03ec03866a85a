package bootstrap

import (
	"fmt"
	"math"
	"strconv"
)

const (
	metaConnections = "ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS"
	// edgeConnections bounds a gateway's connections, which are anyone's, as Envoy's guide for the edge
	// says (https://www.envoyproxy.io/docs/envoy/latest/configuration/best_practices/edge).
	edgeConnections = 50000
	// besideHeap is what a container holds beside Envoy's heap: the agent, stacks and threads.
	besideHeap = 32 << 20

	connectionsMonitor = "envoy.resource_monitors.global_downstream_max_connections"
	heapMonitor        = "envoy.resource_monitors.fixed_heap"
)

// addOverload bounds what callers may make Envoy hold: their connections, and at a gateway whose container
// has a limit of memory its heap. A sidecar has no bound of its heap: its callers are those of the mesh, and
// who would be turned away first is the application beside it.
func (c Config) addOverload(b object) error {
	limit, err := c.connectionLimit()
	if err != nil {
		return err
	}
	monitors := list{monitor(connectionsMonitor, object{
		"@type":                             "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
		"max_active_downstream_connections": limit,
	})}
	manager := object{}
	if heap := c.heapLimit(); heap > 0 {
		monitors = append(monitors, monitor(heapMonitor, object{
			"@type":               "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
			"max_heap_size_bytes": heap,
		}))
		// Envoy's guides for the edge and for the overload manager have these. First clients are asked to
		// go, then requests are answered by 503, and last connections are closed. The kernel would end all.
		manager["refresh_interval"] = "0.25s"
		manager["actions"] = list{
			above("envoy.overload_actions.disable_http_keepalive", 0.92),
			above("envoy.overload_actions.shrink_heap", 0.95),
			above("envoy.overload_actions.stop_accepting_requests", 0.98),
		}
		manager["loadshed_points"] = list{above("envoy.load_shed_points.tcp_listener_accept", 1)}
	}
	manager["resource_monitors"] = monitors
	b["overload_manager"] = manager
	return nil
}

func monitor(name string, config object) object {
	return object{"name": name, "typed_config": config}
}

// above is what happens once a part of the heap's limit is used.
func above(action string, part float64) object {
	return object{"name": action, "triggers": list{object{"name": heapMonitor, "threshold": object{"value": part}}}}
}

// heapLimit gives the most that Envoy's heap may have, in bytes; 0 for no bound.
func (c Config) heapLimit() int64 {
	if c.Node.Type != "router" || c.MemoryLimit <= 0 {
		return 0
	}
	return max(c.MemoryLimit/10*9-besideHeap, c.MemoryLimit/2)
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
