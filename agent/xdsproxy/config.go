// Package xdsproxy stands between Envoy and the control plane: Envoy's ADS stream on a Unix socket
// is joined to one upstream stream over TLS. Resources pass as the bytes that they are; what the agent
// itself needs, such as the name table for the node's DNS, is asked for on the same stream and kept here.
package xdsproxy

import (
	"crypto/tls"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
)

// Config is what a Proxy needs.
type Config struct {
	// SocketPath of the Unix socket that Envoy connects to; a stale one is replaced.
	SocketPath string
	// Address of the control plane, host:port.
	Address string
	// TLS gives the client's TLS settings for a new connection (root of trust, server name, and
	// maybe a client certificate); nil means plaintext, as for port 15010.
	TLS func() (*tls.Config, error)
	// Token gives the bearer token, reread for each stream; nil or an empty token sends none.
	Token func() (string, error)
	// ClusterID goes into the stream's metadata.
	ClusterID string
	// Headers are further metadata of the stream (XDS_HEADER_*).
	Headers map[string]string
	// Own are the types that the agent subscribes to for itself, and keeps from Envoy.
	Own []Own
	// OnConnection, where set, is told when the upstream stream starts and ends.
	OnConnection func(connected bool)
	// Logger must not be nil.
	Logger *slog.Logger
	// Registry takes the metrics istio_agent_*; nil for none.
	Registry prometheus.Registerer
}

// Own is a type of which there is one resource, for the agent itself.
type Own struct {
	// TypeURL of the resource, e.g. type.googleapis.com/istio.networking.nds.v1.NameTable.
	TypeURL string
	// Take takes the resource, marshalled; nil if there is none any more. An error refuses it, which the
	// control plane is told. Take is called from one goroutine at a time for each stream, and must not block.
	Take func(value []byte) error
}
