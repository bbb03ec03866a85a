package envoy

import (
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Listener gives the message for a listener.
func Listener(l *ir.Listener) *listenerv3.Listener {
	return &listenerv3.Listener{Name: l.Name}
}
