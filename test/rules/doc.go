// Package rules holds the rules of discovery, as Envoy needs them, against a real Envoy.
package rules
