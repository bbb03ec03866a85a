// Package explain answers "what happens to this request?" from the resources that one Envoy runs, and
// from nothing else. These are listeners, routes, clusters and endpoints, as this control plane made
// them or as an Envoy's config dump has them. It follows a connection as Envoy does: listener, filter
// chain, network filters, virtual host, route, HTTP filters, cluster, endpoints. Each stage adds Steps
// with the object that it came from, and the last one the Outcome that the client sees.
//
// It stands beside the flow and knows nothing of the model, so that it is a second opinion on what was
// generated. test/traffic holds it against a real Envoy.
//
// A filter is known by the type of its settings. Adding one is a case in httpFilter (http_filter.go) or
// networkFilter (network_filter.go): it adds its step and tells whether the request goes on. A filter that
// is not known gets a step that says so.
package explain
