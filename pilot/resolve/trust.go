package resolve

import (
	"slices"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// TrustBundle gives the roots that proxies verify their peers against: those of the certificate authority,
// and those that the mesh's configuration adds. It is nil until the certificate authority has told.
func TrustBundle(r Reader) *ir.TrustBundle {
	own := r.TrustBundle()
	if own == nil {
		return nil
	}
	out := &ir.TrustBundle{Roots: slices.Clone(own.Roots)}
	for _, ca := range r.Mesh().GetCaCertificates() {
		if pem := ca.GetPem(); pem != "" && trustsFor(r.Mesh(), ca) && !slices.Contains(out.Roots, pem) {
			out.Roots = append(out.Roots, pem)
		}
	}
	return out
}

// trustsFor tells whether a root is one for the mesh's own identities. One for other trust domains only must not
// be: it could sign them.
func trustsFor(mesh *meshconfig.MeshConfig, ca *meshconfig.MeshConfig_CertificateData) bool {
	domains := ca.GetTrustDomains()
	return len(domains) == 0 || slices.Contains(domains, mesh.GetTrustDomain()) ||
		slices.ContainsFunc(mesh.GetTrustDomainAliases(), func(alias string) bool { return slices.Contains(domains, alias) })
}
