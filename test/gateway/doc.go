// Package gateway proves what gateways do with real connections: YAML goes in, and a real Envoy gets
// what comes of it from the product's own ADS server, with the identity of a gateway. Clients speak TLS,
// HTTP to it while the configuration changes, and pilot/explain is asked the same by what the Envoy runs. What one configuration does
// is among the cases of test/traffic.
package gateway
