// Package ir holds what a proxy should do as plain data: clusters, load assignments, listeners,
// routes and the name table. It stands between resolve, which decides, and envoy, which puts
// the decision into Envoy's words; so a decision can be read and tested without protobuf.
package ir
