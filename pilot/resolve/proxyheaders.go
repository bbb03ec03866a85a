package resolve

import (
	"cmp"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// proxyHeaders is what a proxy says itself, else what the mesh says of all. As in Istio, routers have their topology
// for x-forwarded-client-cert, and nothing else.
func proxyHeaders(r Reader, p *model.Proxy) model.ProxyHeaders {
	out := model.NewProxyHeaders(r.Mesh().GetDefaultConfig().GetProxyHeaders())
	if p.Headers != nil {
		out = *p.Headers
	}
	if p.Type == model.RouterProxy {
		out.ClientCert, out.Details = "", model.CertDetails{}
	}
	return out
}

// headersOfListener makes a listener's connection managers treat their own headers as the class's proxies are
// told. x-forwarded-client-cert is the sidecars' for what they receive.
func headersOfListener(c *Class, l *ir.Listener) {
	h := &c.Headers
	if *h == (model.ProxyHeaders{}) {
		return
	}
	for m := range l.Managers() {
		headersOfManager(h, m, c.Type == model.SidecarProxy && l.Direction == ir.DirectionInbound)
	}
}

func headersOfManager(h *model.ProxyHeaders, m *ir.HTTPConnectionManager, received bool) {
	m.KeepServer, m.ServerName = h.KeepServer, cmp.Or(h.Server, m.ServerName)
	if d := h.Details; d.Set && received {
		m.CertDetails = ir.CertDetails{Subject: d.Subject, Cert: d.Cert, Chain: d.Chain, DNS: d.DNS, URI: d.URI}
	}
	if received && h.ClientCert != "" {
		m.ClientCert = clientCert(h.ClientCert)
	}
	m.KeepRequestID, m.KeepCase, m.ForwardedPort = h.KeepRequestID, h.KeepCase, h.ForwardedPort
	for i, f := range m.Filters {
		if _, router := f.(ir.Router); router {
			m.Filters[i] = ir.Router{NoDebugHeaders: h.NoDebug}
		}
	}
}

// headersOfRoutes does so to what the routes of a virtual host add; vh may be nil.
func headersOfRoutes(c *Class, vh *ir.VirtualHost) *ir.VirtualHost {
	if vh == nil {
		return nil
	}
	vh.AttemptCount = vh.AttemptCount && !c.Headers.NoAttempts
	for _, route := range vh.Routes {
		if route.Forward != nil {
			route.Forward.ForwardedHost = c.Headers.ForwardedHost
		}
	}
	return vh
}
