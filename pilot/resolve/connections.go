package resolve

import (
	"time"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// connections is what a proxy says itself, else what the mesh says of all.
func connections(r Reader, p *model.Proxy) model.Connections {
	if p.Connections != nil {
		return *p.Connections
	}
	return model.NewConnections(r.Mesh().GetDefaultConfig().GetConnectionSettings(), p.Type)
}

// limitConnections makes a listener of a class take connections as its settings say. They win over the mesh's
// path normalization, and over what the control plane itself is told.
func limitConnections(c *Class, l *ir.Listener) {
	s := &c.Connections
	if *s == (model.Connections{}) {
		return
	}
	l.BufferLimit = s.ListenerBuffer
	for m := range l.Managers() {
		limitRequests(s, m)
	}
}

func limitRequests(s *model.Connections, m *ir.HTTPConnectionManager) {
	l := &m.Limits
	for to, t := range map[**time.Duration]model.Timeout{
		&l.Idle: s.Idle, &l.MaxConnection: s.MaxConnection, &l.Drain: s.Drain, &l.Request: s.Request,
		&l.Headers: s.RequestHeaders, &l.StreamIdle: s.StreamIdle, &l.MaxStream: s.MaxStreamDuration,
	} {
		if t.Set {
			*to = t.Pointer()
		}
	}
	for to, n := range map[*uint32]uint32{&l.MaxStreams: s.MaxStreams, &l.StreamWindow: s.StreamWindow, &l.ConnectionWindow: s.ConnectionWindow} {
		if n > 0 {
			*to = n
		}
	}
	if s.MergeSlashes.Set {
		m.Path.MergeSlashes = s.MergeSlashes.Yes
	}
	if action, ok := escapedSlashes[s.EscapedSlashes]; ok {
		m.Path.EscapedSlashes = action
	}
	if action, ok := underscores[s.Underscores]; ok {
		m.Underscores = action
	}
}

// escapedSlashes and underscores know the names of Istio's actions.
var (
	escapedSlashes = map[string]ir.EscapedSlashes{
		meshconfig.ProxyConfig_ConnectionSettings_KEEP_UNCHANGED.String():        ir.SlashesKept,
		meshconfig.ProxyConfig_ConnectionSettings_REJECT_REQUEST.String():        ir.SlashesRejected,
		meshconfig.ProxyConfig_ConnectionSettings_UNESCAPE_AND_REDIRECT.String(): ir.SlashesRedirected,
		meshconfig.ProxyConfig_ConnectionSettings_UNESCAPE_AND_FORWARD.String():  ir.SlashesUnescaped,
	}
	underscores = map[string]ir.Underscores{
		meshconfig.ProxyConfig_ConnectionSettings_HEADERS_WITH_UNDERSCORES_ALLOW.String():          ir.UnderscoresAllowed,
		meshconfig.ProxyConfig_ConnectionSettings_HEADERS_WITH_UNDERSCORES_DROP_HEADER.String():    ir.UnderscoresDropped,
		meshconfig.ProxyConfig_ConnectionSettings_HEADERS_WITH_UNDERSCORES_REJECT_REQUEST.String(): ir.UnderscoresRejected,
	}
)
