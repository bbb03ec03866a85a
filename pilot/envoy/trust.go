package envoy

import (
	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// TrustBundle gives the message by which node agents learn of roots, which is Istio's ProxyConfig.
func TrustBundle(b *ir.TrustBundle) *meshconfig.ProxyConfig {
	return &meshconfig.ProxyConfig{CaCertificatesPem: b.Roots}
}
