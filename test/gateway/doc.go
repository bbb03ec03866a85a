// Package gateway proves what gateways do with real connections: YAML goes in, and a real Envoy gets
// what comes of it from the product's own ADS server, with the identity of a gateway. Clients speak TLS,
// HTTP and bytes to it while the configuration changes.
package gateway
