package resolve

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
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
		if forOwnDomain(r, ca) {
			out.Roots = withRoots(out.Roots, rootsOf(r, ca))
		}
	}
	foreign := foreignDomains(r)
	if len(foreign) == 0 {
		return out
	}
	for _, name := range ownDomains(r) {
		if !strings.Contains(name, "*") { // which Envoy cannot look up
			out.Domains = append(out.Domains, ir.TrustDomain{Name: name})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(foreign)) {
		if len(foreign[name]) > 0 {
			out.Domains = append(out.Domains, ir.TrustDomain{Name: name, Roots: foreign[name]})
		}
	}
	return out
}

// rootsOf gives the roots that an entry of caCertificates has, or that were fetched for it.
func rootsOf(r Reader, ca *meshconfig.MeshConfig_CertificateData) []string {
	if at := ca.GetSpiffeBundleUrl(); at != "" {
		if o := r.Object(model.KeySetSource{Bundle: at}.Key()); o != nil {
			return o.Spec.(*model.SPIFFEBundle).Roots
		}
		return nil
	}
	if pem := ca.GetPem(); pem != "" {
		return []string{pem}
	}
	return nil
}

// withRoots appends those that are not there yet.
func withRoots(roots, more []string) []string {
	for _, pem := range more {
		if !slices.Contains(roots, pem) {
			roots = append(roots, pem)
		}
	}
	return roots
}

// forOwnDomain tells whether a root is one for the mesh's own identities. One for other trust domains only must
// not be: it could sign them.
func forOwnDomain(r Reader, ca *meshconfig.MeshConfig_CertificateData) bool {
	domains := ca.GetTrustDomains()
	return len(domains) == 0 || slices.Contains(domains, trustDomain(r))
}

// foreignDomains gives the roots of the trust domains that have some of their own, which are those that
// caCertificates name. One without a root that is known, whose bundle was not fetched yet, has none, and nobody
// of it is let in.
func foreignDomains(r Reader) map[string][]string {
	var out map[string][]string // made where there is one, since each cluster asks
	for _, ca := range r.Mesh().GetCaCertificates() {
		for _, name := range ca.GetTrustDomains() {
			if name == trustDomain(r) {
				continue
			}
			if out == nil {
				out = map[string][]string{}
			}
			out[name] = withRoots(out[name], rootsOf(r, ca))
		}
	}
	return out
}

// ownDomains gives the names of the mesh's own trust domain: an alias that has no roots of its own is another
// name of it.
func ownDomains(r Reader) []string {
	foreign := foreignDomains(r)
	var out []string
	for _, name := range trustDomains(r) {
		if _, ok := foreign[name]; !ok && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// BundleProblems reports bundles that give no roots, and those whose server could sign identities of the mesh.
func BundleProblems(r Reader) []model.Problem {
	var out []model.Problem
	for i, ca := range r.Mesh().GetCaCertificates() {
		at := ca.GetSpiffeBundleUrl()
		if at == "" {
			continue
		}
		if forOwnDomain(r, ca) {
			out = append(out, meshObject().WarningAt(fmt.Sprintf("caCertificates[%d].trustDomains", i), model.ReasonDegraded,
				"the roots of the bundle count for the mesh's own identities: who answers at its address can sign any of them; name the trust domain whose bundle it is"))
		}
		if len(rootsOf(r, ca)) > 0 {
			continue
		}
		p := meshObject().ErrorAt(fmt.Sprintf("caCertificates[%d].spiffeBundleUrl", i), model.ReasonDegraded,
			"the bundle has not been fetched; it adds no roots")
		if r.Object(model.KeySetSource{Bundle: at}.Key()) != nil {
			p.Severity, p.Message = model.SeverityWarning, "the bundle has no roots of X.509 identities: its trust domain has taken all back"
		}
		out = append(out, p)
	}
	return out
}

// trustProblems reports aliases that name no domain: where domains have roots of their own, Envoy looks them up by
// their names, and lets in nobody of one that it does not find.
func trustProblems(r Reader) []model.Problem {
	if len(foreignDomains(r)) == 0 {
		return nil
	}
	var out []model.Problem
	for i, alias := range r.Mesh().GetTrustDomainAliases() {
		if strings.Contains(alias, "*") {
			out = append(out, meshObject().WarningAt(fmt.Sprintf("trustDomainAliases[%d]", i), model.ReasonNotTranslated,
				"caCertificates gives a trust domain roots of its own, so that each has to be named; identities of other domains are refused"))
		}
	}
	return out
}

// rootOfCallers gives the secret of the roots that callers are verified by: those of the trust domains that
// aliases let in, and no others. That goes by what is named, not by what was fetched. A domain whose roots are
// not known is not among those that the secret holds. So nobody of it is let in, and listeners stay as they are.
func rootOfCallers(r Reader) string { return rootsWith(r, r.Mesh().GetTrustDomainAliases()) }

// rootOfNames gives that of peers which have to have one of some names: roots of other domains count only where a
// name is of theirs. Without names Envoy would take anybody of any domain.
func rootOfNames(r Reader, names []string) string {
	var domains []string
	for _, name := range names {
		if identity, ok := strings.CutPrefix(name, spiffe); ok {
			domain, _, _ := strings.Cut(identity, "/")
			domains = append(domains, domain)
		}
	}
	return rootsWith(r, domains)
}

// rootsWith gives the secret of the mesh's own roots and those of some trust domains that have roots of their own.
// Envoy looks up the roots by the first identity of a certificate, and then takes any of it that it wants. So a
// root that the secret holds could sign a second identity, of whatever domain; see oneIdentity of pilot/envoy.
func rootsWith(r Reader, domains []string) string {
	foreign := foreignDomains(r)
	var out []string
	for _, name := range domains {
		if _, ok := foreign[name]; ok {
			out = append(out, name)
		}
	}
	return ir.SecretRootsWith(distinct(out))
}
