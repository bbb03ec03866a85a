package resolve

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Settings are what the control plane itself is told for all proxies, which no object says.
type Settings struct {
	// QUIC lets HTTPS servers of routers speak HTTP/3 as well (Istio's PILOT_ENABLE_QUIC_LISTENERS).
	QUIC bool
	// Underscores is what routers do with headers whose names have underscores.
	Underscores ir.Underscores
	// NameDenials lets servers' proxies and routers say in a header of the answer who denied a request.
	NameDenials bool
}

// With gives the class as one of a control plane with settings, of which it keeps what concerns it.
func (c Class) With(s Settings) Class {
	if c.Type != model.RouterProxy {
		s.QUIC, s.Underscores = false, ir.UnderscoresAllowed
	}
	if c.Settings != s {
		c.Settings = s
		c.Key = c.hash()
	}
	return c
}
