package xdsproxy

import (
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

// noteSeen keeps what a response says that the control plane has seen of its API server, for the next stream to
// tell. The first of a stream takes the place of all that is known, since Envoy runs what this control plane serves
// now: one that is behind has waited as long as it does. Identifiers of other control planes say something else.
func (j *joint) noteSeen(controlPlane string) {
	if controlPlane == "" || j.proxy.cfg.TLS == nil {
		return
	}
	told, err := seen.Parse(identifierOf([]byte(controlPlane)))
	if err != nil || len(told) == 0 {
		return
	}
	j.proxy.mu.Lock()
	defer j.proxy.mu.Unlock()
	if j.toldSeen {
		told = j.proxy.seen.With(told)
	}
	j.proxy.seen, j.toldSeen = told, true
}

// lastSeen gives what noteSeen keeps, as text; empty for nothing.
func (p *Proxy) lastSeen() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen.String()
}

// identifierOf gives the identifier in an Envoy ControlPlane message, empty for none.
func identifierOf(raw []byte) string {
	out := ""
	for len(raw) > 0 {
		num, typ, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return ""
		}
		raw = raw[n:]
		if num == identifier && typ == protowire.BytesType {
			value, n := protowire.ConsumeString(raw)
			if n < 0 {
				return ""
			}
			out, raw = value, raw[n:]
			continue
		}
		if n = protowire.ConsumeFieldValue(num, typ, raw); n < 0 {
			return ""
		}
		raw = raw[n:]
	}
	return out
}
