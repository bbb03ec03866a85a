package resolve

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Settings are what the control plane itself is told for all proxies, which no object says.
type Settings struct {
	// QUIC lets HTTPS servers of routers speak HTTP/3 as well (Istio's PILOT_ENABLE_QUIC_LISTENERS).
	QUIC bool
	// HTTP10 lets all proxies take requests of HTTP/1.0 (Istio's PILOT_HTTP10).
	HTTP10 bool
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
	http10 := c.HTTP10 || s.HTTP10 // a fact of the class, since what it sends follows from it as well
	if s.HTTP10 = false; c.Settings != s || c.HTTP10 != http10 {
		c.Settings, c.HTTP10 = s, http10
		c.Key = c.hash()
	}
	return c
}
