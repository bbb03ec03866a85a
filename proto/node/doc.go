// Package node holds the messages that the node agent itself reads and writes, as a small subset
// of Envoy's and Istio's with the same bytes.
package node
