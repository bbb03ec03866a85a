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
		if pem := ca.GetPem(); pem != "" && forOwnDomain(r, ca) && !slices.Contains(out.Roots, pem) {
			out.Roots = append(out.Roots, pem)
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

// forOwnDomain tells whether a root is one for the mesh's own identities. One for other trust domains only must
// not be: it could sign them.
func forOwnDomain(r Reader, ca *meshconfig.MeshConfig_CertificateData) bool {
	domains := ca.GetTrustDomains()
	return len(domains) == 0 || slices.Contains(domains, trustDomain(r))
}

// foreignDomains gives the roots of the trust domains that have some of their own, which are those that
// caCertificates name. One without a root that is known, whose bundle would have to be fetched, has none, and
// nobody of it is let in.
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
			roots := out[name]
			if pem := ca.GetPem(); pem != "" && !slices.Contains(roots, pem) {
				roots = append(roots, pem)
			}
			out[name] = roots
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

// trustProblems reports aliases that name no domain: where domains have roots of their own, Envoy looks them up by
// their names, and lets in nobody of one that it does not find.
func trustProblems(r Reader) []model.Problem {
	if len(foreignDomains(r)) == 0 {
		return nil
	}
	var out []model.Problem
	for i, alias := range r.Mesh().GetTrustDomainAliases() {
		if strings.Contains(alias, "*") {
			out = append(out, model.Problem{
				Object: meshObject().Key, Field: fmt.Sprintf("trustDomainAliases[%d]", i), Severity: model.SeverityWarning, Reason: model.ReasonNotTranslated,
				Message: "caCertificates gives a trust domain roots of its own, so that each has to be named; identities of other domains are refused",
			})
		}
	}
	return out
}

// rootOfCallers gives the secret of the roots that callers are verified by. Envoy's check of SPIFFE identities goes
// by the first identity of a certificate and policies by any of it, so roots of other domains count only where
// aliases let these domains in: they may then call themselves what they want in any case.
func rootOfCallers(r Reader) string {
	foreign := foreignDomains(r)
	for _, alias := range r.Mesh().GetTrustDomainAliases() {
		if len(foreign[alias]) > 0 {
			return ir.SecretRoot
		}
	}
	return ownRoots(foreign)
}

// rootOfServers gives that of servers which have to have one of some names: roots of other domains count only
// where a name is of one. Without names Envoy would take anybody of any domain.
func rootOfServers(r Reader, names []string) string {
	foreign := foreignDomains(r)
	for _, name := range names {
		identity, ok := strings.CutPrefix(name, "spiffe://")
		if domain, _, _ := strings.Cut(identity, "/"); ok && len(foreign[domain]) > 0 {
			return ir.SecretRoot
		}
	}
	return ownRoots(foreign)
}

// verifyPlainly has a peer verified by the mesh's own roots only, where others have theirs: Envoy's check of
// SPIFFE identities, which tells whose roots count, knows neither pins of keys and certificates nor names that a
// request gives, and would pass them over. It gives the secret of the roots.
func verifyPlainly(r Reader) string { return ownRoots(foreignDomains(r)) }

// ownRoots gives the secret of the mesh's own roots beside those of foreign domains.
func ownRoots(foreign map[string][]string) string {
	if len(foreign) == 0 {
		return ir.SecretRoot
	}
	return ir.SecretOwnRoot
}
