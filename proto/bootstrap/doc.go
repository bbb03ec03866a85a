// Package bootstrap is what EnvoyFilters put over the bootstrap of an Envoy (applyTo BOOTSTRAP). `pilot` sends it over
// ADS to `agent`, type URL type.googleapis.com/pilothouse.bootstrap.v1.Patches. `make proto` regenerates it.
package bootstrap

// Asked is the key of a node's metadata by which its agent says that it asks for Patches, with the value "true".
const Asked = "BOOTSTRAP_PATCHES"

// Type is the type URL of Patches.
const Type = "type.googleapis.com/pilothouse.bootstrap.v1.Patches"
