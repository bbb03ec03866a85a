package explain

import (
	"fmt"
	"slices"
	"strings"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// servedSecrets begins the names of secrets that the control plane serves, as Istio has it. All others are the
// agent's own.
const servedSecrets = "kubernetes://"

// awaited gives the first secret by which TLS is set up and that the proxy does not have, and why; "" where there
// is none, or where nobody knows.
func (c *Config) awaited(t *tlsv3.CommonTlsContext) (name, why string) {
	if !c.SecretsKnown {
		return "", ""
	}
	var names []string
	for _, s := range t.GetTlsCertificateSdsSecretConfigs() {
		names = append(names, s.GetName())
	}
	names = append(names, t.GetValidationContextSdsSecretConfig().GetName(), t.GetCombinedValidationContext().GetValidationContextSdsSecretConfig().GetName())
	at := slices.IndexFunc(names, func(n string) bool {
		return n != "" && c.secrets[n] == nil && (c.dumped || strings.HasPrefix(n, servedSecrets))
	})
	if at < 0 {
		return "", ""
	}
	name = names[at]
	if c.SecretProblem != nil {
		why = c.SecretProblem(strings.TrimPrefix(name, servedSecrets))
	}
	if why == "" {
		why = "the proxy was not given it: it is missing, or cannot be used"
	}
	return name, why
}

// awaitedUpstream is awaited for connections to a cluster.
func (c *Config) awaitedUpstream(m *clusterv3.Cluster) (name, why string) {
	sockets := []*core.TransportSocket{m.GetTransportSocket()}
	for _, match := range m.GetTransportSocketMatches() {
		sockets = append(sockets, match.GetTransportSocket())
	}
	for _, socket := range sockets {
		socket, _ = unwrapped(socket)
		ctx := &tlsv3.UpstreamTlsContext{}
		if !socket.GetTypedConfig().MessageIs(ctx) || socket.GetTypedConfig().UnmarshalTo(ctx) != nil {
			continue
		}
		if name, why = c.awaited(ctx.GetCommonTlsContext()); name != "" {
			return name, why
		}
	}
	return "", ""
}

// describeSecret names a secret as a user knows it.
func describeSecret(name string) string {
	if own, served := strings.CutPrefix(name, servedSecrets); served {
		return "Secret " + own
	}
	return fmt.Sprintf("secret %q of the proxy's agent", name)
}

// checks says by which roots the certificates of a cluster's servers are checked.
func (c *Config) checks(m *clusterv3.Cluster) string {
	socket, _ := unwrapped(m.GetTransportSocket())
	ctx := &tlsv3.UpstreamTlsContext{}
	if !socket.GetTypedConfig().MessageIs(ctx) || socket.GetTypedConfig().UnmarshalTo(ctx) != nil {
		return "how a server's certificate is checked is set for each server"
	}
	by := authorityOf(ctx.GetCommonTlsContext(), c.secrets)
	if by.secret != "" {
		return "a server's certificate is checked by the roots of " + describeSecret(by.secret)
	}
	for _, own := range by.checks {
		switch file := own.GetTrustedCa().GetFilename(); {
		case own.GetSystemRootCerts() != nil:
			return "a server's certificate is checked by the roots of the proxy's system"
		case file != "":
			return "a server's certificate is checked by the roots in file " + file
		case own.GetTrustedCa() != nil:
			return "a server's certificate is checked by roots of the cluster's own"
		}
	}
	return "a server's certificate is checked by no roots: any is taken"
}
