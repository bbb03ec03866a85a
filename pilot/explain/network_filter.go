package explain

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	dynamicsni "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/sni_dynamic_forward_proxy/v3"
	tcpproxy "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/tcp_proxy/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// terminate ends TLS where the chain does so, and goes on with the chain's filters.
func (w *walk) terminate(c *listenerv3.FilterChain) {
	ctx, ends, err := serverTLS(c)
	if err != nil {
		w.closed("", "the TLS settings of the filter chain cannot be read: "+err.Error())
		return
	}
	if name, why := w.awaited(ctx.GetCommonTlsContext()); name != "" {
		w.closed("", fmt.Sprintf("the TLS of the filter chain needs %s, which the proxy does not have (%s): it closes the connection before the handshake", describeSecret(name), why))
		return
	}
	client := w.request.TLS
	switch {
	case ends && client == nil:
		w.closed("", "the filter chain takes TLS only, and the client speaks in the clear: the handshake fails")
		return
	case ends && ctx.GetRequireClientCertificate().GetValue() && !client.Certificate:
		w.closed("", "the filter chain needs "+noCertificate+": the handshake fails")
		return
	}
	if ends {
		if why := w.disagreed(ctx.GetCommonTlsContext()); why != "" {
			w.closed("", why+": the handshake fails")
			return
		}
		w.presents(ctx.GetCommonTlsContext())
	}
	w.terminated = ends
	if ends && client.Certificate && verifies(ctx) {
		if why := w.shown(ctx); why != "" {
			w.closed("", why+": the handshake fails")
			return
		}
	}
	if ends && client.Certificate && client.Chain == nil && verifies(ctx) {
		w.identity = cmp.Or(client.Identity, unnamedIdentity(ctx))
		if w.identity != "" && !takes(ctx, w.identity) {
			w.closed("", fmt.Sprintf("the filter chain takes no certificate of %s: the handshake fails", w.identity))
			return
		}
	}
	if ends && client.Chain != nil && verifies(ctx) {
		w.identity = client.Identity
	}
	for _, f := range c.GetFilters() {
		if !w.networkFilter(f, client != nil && !ends) {
			return
		}
	}
}

// verifies tells whether a chain looks at the client's certificate, so that it proves who the client is.
func verifies(t *tlsv3.DownstreamTlsContext) bool {
	c := t.GetCommonTlsContext()
	return t.GetRequireClientCertificate().GetValue() || c.GetValidationContextType() != nil
}

// takes tells whether a chain takes the identity in a certificate: any, where it names none.
func takes(t *tlsv3.DownstreamTlsContext, identity string) bool {
	wanted := takenNames(t)
	return len(wanted) == 0 || slices.ContainsFunc(wanted, func(m *tlsv3.SubjectAltNameMatcher) bool {
		return m.GetSanType() == tlsv3.SubjectAltNameMatcher_URI && stringMatches(m.GetMatcher(), identity)
	})
}

// takenNames are those of which a certificate needs one; none where a chain asks for none.
func takenNames(t *tlsv3.DownstreamTlsContext) []*tlsv3.SubjectAltNameMatcher {
	c := t.GetCommonTlsContext()
	combined := c.GetCombinedValidationContext().GetDefaultValidationContext().GetMatchTypedSubjectAltNames()
	return append(slices.Clone(combined), c.GetValidationContext().GetMatchTypedSubjectAltNames()...)
}

// unnamed ends the identity of a workload that nobody has named. No policy can name it, as it is no name in Kubernetes.
const unnamed = "ns/-/sa/-"

// unnamedIdentity is that of some workload of a trust domain whose certificates a chain takes; "" where it takes others
// as well.
func unnamedIdentity(t *tlsv3.DownstreamTlsContext) string {
	for _, m := range takenNames(t) {
		if domain := m.GetMatcher().GetPrefix(); m.GetSanType() == tlsv3.SubjectAltNameMatcher_URI && strings.HasSuffix(domain, "/") {
			return domain + unnamed
		}
	}
	return ""
}

// networkFilter passes one network filter, and tells whether the connection goes on to the next one.
// opaque tells that what is inside is encrypted and stays so.
func (w *walk) networkFilter(f *listenerv3.Filter, opaque bool) (on bool) {
	packed := f.GetTypedConfig()
	switch {
	case packed.MessageIs(&hcm.HttpConnectionManager{}):
		m := &hcm.HttpConnectionManager{}
		if err := packed.UnmarshalTo(m); err != nil {
			w.closed("", "the connection manager cannot be read: "+err.Error())
			return false
		}
		if opaque || w.request.Protocol == TCP {
			w.refused(400, "DPE", "the filter chain takes HTTP, and this is something else: the proxy answers 400 and closes the connection")
			w.step(StageFilter, f.GetName(), w.answer.Outcome.Reason, nil)
			return false
		}
		w.http(m)
		return false
	case packed.MessageIs(&tcpproxy.TcpProxy{}):
		m := &tcpproxy.TcpProxy{}
		if err := packed.UnmarshalTo(m); err != nil {
			w.closed("", "the TCP proxy cannot be read: "+err.Error())
			return false
		}
		w.tcp(f.GetName(), m)
		return false
	}
	switch {
	case packed.MessageIs(&dynamicsni.FilterConfig{}):
		w.sniForward(f.GetName(), packed)
		return true
	case f.GetName() == guardName:
		return w.guard(f.GetName(), packed)
	}
	if on, known := w.authorizeConnection(f.GetName(), packed); known {
		return on
	}
	w.unfollowed(f.GetName())
	return true
}

// tcp forwards a connection.
func (w *walk) tcp(name string, m *tcpproxy.TcpProxy) {
	forward := &Forward{Hash: connectionHash(m.GetHashPolicy())}
	var total uint32
	for _, c := range m.GetWeightedClusters().GetClusters() {
		total += c.GetWeight()
	}
	switch {
	case total > 0:
		for _, c := range m.GetWeightedClusters().GetClusters() {
			if c.GetWeight() > 0 {
				forward.Clusters = append(forward.Clusters, Cluster{Name: c.GetName(), Percent: share(c.GetWeight(), total)})
			}
		}
	default:
		forward.Clusters = []Cluster{{Name: m.GetCluster(), Percent: 100}}
	}
	text := "forwards the connection to " + names(forward.Clusters)
	if forward.Tunnel = strings.ReplaceAll(m.GetTunnelingConfig().GetHostname(), "%%", "%"); forward.Tunnel != "" {
		text += ", within a request of HTTP for " + forward.Tunnel
	}
	w.step(StageFilter, name, text, m.GetMetadataMatch())
	w.forward(forward, false)
}

// share gives a percentage.
func share(weight, total uint32) float64 {
	return math.Round(float64(weight)/float64(total)*1e6) / 1e4
}

// names lists clusters, with shares where there are several.
func names(all []Cluster) string {
	if len(all) == 1 {
		return all[0].Name
	}
	var out []string
	for _, c := range all {
		out = append(out, fmt.Sprintf("%s (%g %%)", c.Name, c.Percent))
	}
	return strings.Join(out, ", ")
}
