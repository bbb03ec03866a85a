package envoy

import (
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// TrustBundle gives the message by which node agents learn of roots, which is Istio's ProxyConfig. Trust domains
// with roots of their own, which Istio's agents do not know, are in its metadata: "spiffe://DOMAIN" has these
// roots in PEM, or nothing where the certificates of the message count. An agent of Istio's trusts none of them.
func TrustBundle(b *ir.TrustBundle) *meshconfig.ProxyConfig {
	out := &meshconfig.ProxyConfig{CaCertificatesPem: b.Roots}
	if len(b.Domains) > 0 {
		out.ProxyMetadata = map[string]string{}
	}
	for _, d := range b.Domains {
		out.ProxyMetadata["spiffe://"+d.Name] = strings.Join(d.Roots, "\n")
	}
	return out
}
