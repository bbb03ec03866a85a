package explain

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	httpinspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/http_inspector/v3"
	tlsinspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	"google.golang.org/protobuf/proto"
)

// Names of the listeners that take what is captured.
const (
	virtualOutbound = "virtualOutbound"
	virtualInbound  = "virtualInbound"
)

// listen passes the connection through the listener. All walks go through it, so that none ends without an outcome.
func (w *walk) listen() {
	w.connect()
	w.conclude()
}

// conclude gives an outcome to what no filter has decided.
func (w *walk) conclude() {
	if o := &w.answer.Outcome; o.Forward != nil || o.Status != 0 || o.Closed || o.Refused {
		return
	}
	last := w.answer.Steps[len(w.answer.Steps)-1]
	if last.open {
		w.refused(0, "", fmt.Sprintf("what becomes of it is not known here: filter %s is the last, and it is not followed", last.Name))
		return
	}
	reason := fmt.Sprintf("no filter after %s %s answers or forwards, and the connection is closed", last.Stage, last.Name)
	if last.Stage == StageFilterChain {
		reason += ": so a chain denies that takes the place of one which the proxy refused (see pilotctl problems)"
	}
	w.closed("", reason)
}

// connect finds the listener, and goes on with its filter chains.
func (w *walk) connect() {
	if w.shutOut() {
		return
	}
	l := w.accepts()
	if l == nil && w.besides() {
		return
	}
	if l == nil {
		w.closed("", fmt.Sprintf("nothing listens on %s: the connection is refused", w.sentTo()))
		w.step(StageListener, "", w.answer.Outcome.Reason, nil, append(w.nearListeners(), w.quicHints()...)...)
		return
	}
	if l.GetUseOriginalDst().GetValue() {
		to := w.handedOver()
		if to == nil {
			w.step(StageListener, l.GetName(), fmt.Sprintf("takes what is sent to %s, for which there is no listener", w.sentTo()), l.GetMetadata(), w.nearListeners()...)
		} else {
			l = to
		}
	}
	if l.GetName() != virtualOutbound || len(w.answer.Steps) == 0 {
		w.step(StageListener, l.GetName(), fmt.Sprintf("takes connections to %s%s", address(l.GetAddress()), w.ledFrom()), l.GetMetadata(), w.insideHints()...)
	}
	if f := w.silence(l); f != "" {
		w.closed("", fmt.Sprintf("listener filter %s waits for the client's first bytes, and the client for the server's: nothing comes", f))
		return
	}
	conn := w.inspect(l)
	w.serverName = conn.sni
	w.chain(l, conn)
}

// application stands for what listens beside the proxy.
const application = "the application"

// besides passes what a workload sends to itself, which is not captured, to its application. An address of the loopback
// that a listener has for what is captured is meant for that one alone.
func (w *walk) besides() bool {
	to := w.request.Destination
	meant := slices.ContainsFunc(w.Listeners, func(l *listenerv3.Listener) bool {
		return slices.ContainsFunc(addresses(l), func(a *core.Address) bool {
			return a.GetSocketAddress().GetAddress() == to.Addr().String() && w.isFor(a)
		})
	})
	if !w.request.Local || w.request.Socket != "" || meant {
		return false
	}
	w.step(StageListener, "", fmt.Sprintf("%s is the workload's own address: what it sends there is not captured, and reaches what listens on port %d beside the proxy", to.Addr(), to.Port()), nil)
	w.answer.Outcome.Forward = &Forward{Host: w.request.Host, Path: w.request.Path, Clusters: []Cluster{{
		Name: application, Percent: 100, Endpoints: []Endpoint{{Address: to.String(), Percent: 100, TLS: "none"}},
	}}}
	return true
}

// sentTo names where a connection goes: the port alone where nobody knows the address.
func (w *walk) sentTo() string {
	to := w.request.Destination
	if w.request.Socket != "" {
		return w.request.Socket
	}
	if to.Addr().String() == UnknownAddress || w.request.Way == Direct {
		return fmt.Sprintf("%sport %d%s", w.datagrams(), to.Port(), w.ledFrom())
	}
	return to.String() + w.ledFrom()
}

// ledFrom names the port that the client asked for, where it is another one.
func (w *walk) ledFrom() string {
	if w.request.Port == 0 {
		return ""
	}
	return fmt.Sprintf(", where port %d of the Service leads", w.request.Port)
}

// accepts gives the listener whose socket gets the connection.
func (w *walk) accepts() *listenerv3.Listener {
	name := map[Way]string{Outbound: virtualOutbound, Inbound: virtualInbound}[w.request.Way]
	if name != "" {
		at := slices.IndexFunc(w.Listeners, func(l *listenerv3.Listener) bool { return l.GetName() == name })
		if at >= 0 {
			return w.Listeners[at]
		}
		return nil
	}
	return w.at(binds)
}

// binds tells whether a listener has a socket of its own. Without one it takes only what is captured.
func binds(l *listenerv3.Listener) bool {
	return l.GetBindToPort() == nil || l.GetBindToPort().GetValue()
}

// handedOver gives the listener that a captured connection is handed to by where it was sent; nil for none.
func (w *walk) handedOver() *listenerv3.Listener {
	return w.at(func(l *listenerv3.Listener) bool {
		return !l.GetUseOriginalDst().GetValue() && l.GetName() != virtualInbound
	})
}

// at gives the listener of the destination: that of its very address before that of any address.
func (w *walk) at(ok func(*listenerv3.Listener) bool) *listenerv3.Listener {
	var wild *listenerv3.Listener
	for _, l := range w.Listeners {
		if !ok(l) {
			continue
		}
		for _, a := range addresses(l) {
			if w.request.Socket != "" {
				if a.GetPipe().GetPath() == w.request.Socket {
					return l
				}
				continue
			}
			ip, err := netip.ParseAddr(a.GetSocketAddress().GetAddress())
			if err != nil || port(a) != w.request.Destination.Port() || ofUDP(a) != (w.request.Protocol == HTTP3) {
				continue
			}
			to := w.request.Destination.Addr()
			switch {
			case ip.Unmap() == to.Unmap():
				return l
			case ip.IsUnspecified() && wild == nil && (ip.Is4() == to.Unmap().Is4() || ip.Is6() && a.GetSocketAddress().GetIpv4Compat()):
				wild = l
			}
		}
	}
	return wild
}

// unbound says why a listener without a socket gets nothing.
func (w *walk) unbound() string {
	why := "takes only what is captured, and binds no port without captureMode: NONE (bindToPort)"
	if w.request.Destination.Addr().IsLoopback() {
		why += "; what is sent to a loopback address is not captured"
	}
	return why
}

// isFor tells whether an address of a listener is that which was asked.
func (w *walk) isFor(a *core.Address) bool {
	ip, err := netip.ParseAddr(a.GetSocketAddress().GetAddress())
	return err == nil && port(a) == w.request.Destination.Port() && (ip.IsUnspecified() || ip.Unmap() == w.request.Destination.Addr().Unmap())
}

// nearListeners names those of the same address or port, for who wonders why none took the connection, and all of a
// gateway, which has few.
func (w *walk) nearListeners() []string {
	var out []string
	for _, l := range w.Listeners {
		for _, a := range addresses(l) {
			to := w.request.Destination
			if w.request.Socket != "" {
				if a.GetPipe() != nil {
					out = append(out, fmt.Sprintf("%s listens on %s", l.GetName(), address(a)))
				}
				continue
			}
			switch {
			case w.request.Way == Direct && !binds(l):
				if w.isFor(a) {
					out = append(out, fmt.Sprintf("%s is for %s, but %s", l.GetName(), address(a), w.unbound()))
				}
			case w.request.Way == Direct || port(a) == to.Port() || a.GetSocketAddress().GetAddress() == to.Addr().String():
				out = append(out, fmt.Sprintf("%s listens on %s", l.GetName(), address(a)))
			}
		}
	}
	return out
}

func addresses(l *listenerv3.Listener) []*core.Address {
	out := []*core.Address{l.GetAddress()}
	for _, a := range l.GetAdditionalAddresses() {
		out = append(out, a.GetAddress())
	}
	return out
}

func port(a *core.Address) uint16 { return uint16(a.GetSocketAddress().GetPortValue()) }

// address gives ip:port, or a path.
func address(a *core.Address) string {
	switch {
	case a.GetPipe() != nil:
		return a.GetPipe().GetPath()
	case a.GetSocketAddress() != nil:
		s := a.GetSocketAddress()
		out := fmt.Sprintf("%s:%d", s.GetAddress(), s.GetPortValue())
		if strings.Contains(s.GetAddress(), ":") {
			out = fmt.Sprintf("[%s]:%d", s.GetAddress(), s.GetPortValue())
		}
		if ofUDP(a) {
			out += " for UDP"
		}
		return out
	}
	return a.GetEnvoyInternalAddress().GetServerListenerName()
}

// silence names the listener filter that waits in vain for the first bytes of a client who lets the server speak first; empty
// for none. After a time that the listener sets a connection goes on without them.
func (w *walk) silence(l *listenerv3.Listener) string {
	wait := l.GetListenerFiltersTimeout()
	if !w.request.ServerFirst || l.GetContinueOnListenerFiltersTimeout() && (wait == nil || wait.AsDuration() > 0) {
		return ""
	}
	for _, f := range l.GetListenerFilters() {
		url := f.GetTypedConfig().GetTypeUrl()
		if (is(url, &tlsinspector.TlsInspector{}) || is(url, &httpinspector.HttpInspector{})) && !w.holds(f.GetFilterDisabled()) {
			return f.GetName()
		}
	}
	return ""
}

// inspected is what listener filters found out about a connection.
type inspected struct {
	transport string   // tls or raw_buffer
	sni       string   // in lower case
	protocols []string // of the TLS handshake, or what plaintext HTTP was recognised as
}

// inspect looks at the first bytes as far as the listener does.
func (w *walk) inspect(l *listenerv3.Listener) inspected {
	if w.request.Protocol == HTTP3 {
		return inspected{"quic", strings.ToLower(w.request.TLS.SNI), []string{"h3"}}
	}
	out := inspected{transport: "raw_buffer"}
	for _, f := range l.GetListenerFilters() {
		if w.holds(f.GetFilterDisabled()) {
			continue
		}
		switch {
		case is(f.GetTypedConfig().GetTypeUrl(), &tlsinspector.TlsInspector{}) && w.request.TLS != nil:
			out = inspected{"tls", strings.ToLower(w.request.TLS.SNI), w.request.TLS.ALPN}
		case is(f.GetTypedConfig().GetTypeUrl(), &httpinspector.HttpInspector{}) && w.request.TLS == nil:
			if p := map[Protocol]string{HTTP10: "http/1.0", HTTP11: "http/1.1", HTTP2: "h2c"}[w.request.Protocol]; p != "" {
				out.protocols = []string{p}
			}
		}
	}
	return out
}

// is tells whether a type URL is that of a message.
func is(url string, m proto.Message) bool {
	return strings.TrimPrefix(url, "type.googleapis.com/") == string(m.ProtoReflect().Descriptor().FullName())
}

// holds tells whether a predicate on a connection holds; what is not there does not.
func (w *walk) holds(p *listenerv3.ListenerFilterChainMatchPredicate) bool {
	all := func(rules []*listenerv3.ListenerFilterChainMatchPredicate, want bool) bool {
		return slices.ContainsFunc(rules, func(r *listenerv3.ListenerFilterChainMatchPredicate) bool { return w.holds(r) == want })
	}
	switch r := p.GetRule().(type) {
	case *listenerv3.ListenerFilterChainMatchPredicate_OrMatch:
		return all(r.OrMatch.GetRules(), true)
	case *listenerv3.ListenerFilterChainMatchPredicate_AndMatch:
		return !all(r.AndMatch.GetRules(), false)
	case *listenerv3.ListenerFilterChainMatchPredicate_NotMatch:
		return !w.holds(r.NotMatch)
	case *listenerv3.ListenerFilterChainMatchPredicate_AnyMatch:
		return r.AnyMatch
	case *listenerv3.ListenerFilterChainMatchPredicate_DestinationPortRange:
		p := int32(w.request.Destination.Port())
		return p >= r.DestinationPortRange.GetStart() && p < r.DestinationPortRange.GetEnd()
	}
	return false
}

// Captures tells whether the proxy takes what its workload sends, as a sidecar does and a gateway does not.
func (c *Config) Captures() bool {
	return slices.ContainsFunc(c.Listeners, func(l *listenerv3.Listener) bool { return l.GetName() == virtualOutbound })
}
