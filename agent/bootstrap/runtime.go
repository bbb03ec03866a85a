package bootstrap

// runtimeConnections is the name under which Envoy's runtime had the limit of connections before the
// overload manager; users set it still.
const runtimeConnections = "overload.global_downstream_max_connections"

// addRuntime gives the runtime, with ProxyConfig's runtimeValues over ours. The admin layer stays last, so
// that a debugging user's value wins.
func (c Config) addRuntime(b object) {
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
