package explain

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// meshRoots is the secret by which agents give Envoy the mesh's own CA.
const meshRoots = "ROOTCA"

// noCertificate is what a filter chain needs that takes no client without a certificate.
const noCertificate = "a certificate of the client, which shows none"

// authority is the CA whose certificates a filter chain takes.
type authority struct {
	secret string // that has it, "" for none
	// checks are what else a certificate has to be.
	checks []*tlsv3.CertificateValidationContext
}

func authorityOf(t *tlsv3.CommonTlsContext, secrets map[string]*tlsv3.Secret) authority {
	out := authority{secret: t.GetValidationContextSdsSecretConfig().GetName()}
	if c := t.GetCombinedValidationContext(); c != nil {
		out.secret = c.GetValidationContextSdsSecretConfig().GetName()
		out.checks = append(out.checks, c.GetDefaultValidationContext())
	}
	if own := t.GetValidationContext(); own != nil {
		out.checks = append(out.checks, own)
	}
	if s := secrets[out.secret].GetValidationContext(); s != nil {
		out.checks = append(out.checks, s)
	}
	return out
}

// mesh tells whether it is the mesh's own, or a set of trust domains.
func (a authority) mesh() bool {
	return a.secret == meshRoots || slices.ContainsFunc(a.checks, func(c *tlsv3.CertificateValidationContext) bool { return c.GetCustomValidatorConfig() != nil })
}

// pem gives the certificates of the CA; nil where they are not known here.
func (a authority) pem() []byte {
	for _, c := range a.checks {
		if data := inline(c.GetTrustedCa()); data != nil {
			return data
		}
	}
	return nil
}

func inline(d *core.DataSource) []byte {
	if text := d.GetInlineString(); text != "" {
		return []byte(text)
	}
	if data := d.GetInlineBytes(); len(data) > 0 {
		return data
	}
	return nil
}

func (a authority) String() string {
	if a.secret == "" {
		return "the CA of the filter chain"
	}
	return "the CA of " + describeSecret(a.secret)
}

// shown compares the certificate that a client shows with what a filter chain takes, and says why it is refused; "" where
// it is not.
func (w *walk) shown(t *tlsv3.DownstreamTlsContext) (refused string) {
	a, client := authorityOf(t.GetCommonTlsContext(), w.secrets), w.request.TLS
	switch {
	case client.Fitting, client.Chain == nil && a.mesh():
		return ""
	case client.Chain == nil:
		roots := w.secrets[meshRoots].GetValidationContext().GetTrustedCa()
		own, mesh := a.pem(), inline(roots)
		if own == nil {
			w.step(StageHandshake, "", fmt.Sprintf("the client's certificate of the mesh is not compared with %s, which only the proxy has", a), nil)
		}
		if own == nil || sharesRoot(own, mesh) {
			return ""
		}
		return fmt.Sprintf("the filter chain takes certificates of %s alone, and the client's is of the mesh's own; --cert gives another", a)
	}
	leaf := client.Chain[0]
	name := fmt.Sprintf("the client's certificate (%s, of %s)", nameOf(leaf), leaf.Issuer)
	if own := a.pem(); own == nil {
		w.step(StageHandshake, "", fmt.Sprintf("%s is not compared with %s, which only the proxy has", name, a), nil)
	} else if err := verified(client, own); err != nil {
		return fmt.Sprintf("%s is none of %s: %v", name, a, err)
	} else {
		w.step(StageHandshake, "", fmt.Sprintf("%s is one of %s", name, a), nil)
	}
	for _, c := range a.checks {
		if why := lacksOf(c, leaf); why != "" {
			return name + " " + why
		}
	}
	return ""
}

// nameOf gives the names of a certificate, else its subject.
func nameOf(c *x509.Certificate) string {
	if all := namesIn(c); len(all) > 0 {
		return all[0].value
	}
	return c.Subject.String()
}

// verified checks a client's chain against a CA.
func verified(client *TLS, roots []byte) error {
	o := x509.VerifyOptions{
		Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), CurrentTime: client.At,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	o.Roots.AppendCertsFromPEM(roots)
	for _, c := range client.Chain[1:] {
		o.Intermediates.AddCert(c)
	}
	_, err := client.Chain[0].Verify(o)
	return err
}

// sharesRoot tells whether two lists of certificates have one in common.
func sharesRoot(a, b []byte) bool {
	var of [][]byte
	for block, rest := pem.Decode(a); block != nil; block, rest = pem.Decode(rest) {
		of = append(of, block.Bytes)
	}
	for block, rest := pem.Decode(b); block != nil; block, rest = pem.Decode(rest) {
		if slices.ContainsFunc(of, func(other []byte) bool { return bytes.Equal(other, block.Bytes) }) {
			return true
		}
	}
	return false
}

// lacksOf says what else a certificate ought to be and is not; "" for nothing.
func lacksOf(c *tlsv3.CertificateValidationContext, leaf *x509.Certificate) string {
	sum, key := sha256.Sum256(leaf.Raw), sha256.Sum256(leaf.RawSubjectPublicKeyInfo)
	hashes, keys := c.GetVerifyCertificateHash(), c.GetVerifyCertificateSpki()
	hashed := slices.ContainsFunc(hashes, func(h string) bool {
		return strings.EqualFold(strings.ReplaceAll(h, ":", ""), hex.EncodeToString(sum[:]))
	}) || slices.Contains(keys, base64.StdEncoding.EncodeToString(key[:]))
	wanted := c.GetMatchTypedSubjectAltNames()
	switch {
	case len(hashes)+len(keys) > 0 && !hashed:
		return "is none of those whose hashes the filter chain names"
	case len(wanted) > 0 && !slices.ContainsFunc(wanted, func(m *tlsv3.SubjectAltNameMatcher) bool { return namedBy(m, leaf) }):
		return "has none of the names that the filter chain takes"
	}
	data := inline(c.GetCrl())
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		list, err := x509.ParseRevocationList(block.Bytes)
		if err != nil || !bytes.Equal(list.RawIssuer, leaf.RawIssuer) {
			continue
		}
		if slices.ContainsFunc(list.RevokedCertificateEntries, func(e x509.RevocationListEntry) bool { return e.SerialNumber.Cmp(leaf.SerialNumber) == 0 }) {
			return "is revoked"
		}
	}
	return ""
}

// alternative is a name in a certificate.
type alternative struct {
	kind  tlsv3.SubjectAltNameMatcher_SanType
	value string
}

func namesIn(c *x509.Certificate) []alternative {
	var out []alternative
	for _, u := range c.URIs {
		out = append(out, alternative{tlsv3.SubjectAltNameMatcher_URI, u.String()})
	}
	for _, n := range c.DNSNames {
		out = append(out, alternative{tlsv3.SubjectAltNameMatcher_DNS, n})
	}
	for _, n := range c.EmailAddresses {
		out = append(out, alternative{tlsv3.SubjectAltNameMatcher_EMAIL, n})
	}
	for _, ip := range c.IPAddresses {
		out = append(out, alternative{tlsv3.SubjectAltNameMatcher_IP_ADDRESS, ip.String()})
	}
	return out
}

func namedBy(m *tlsv3.SubjectAltNameMatcher, c *x509.Certificate) bool {
	return slices.ContainsFunc(namesIn(c), func(n alternative) bool { return n.kind == m.GetSanType() && stringMatches(m.GetMatcher(), n.value) })
}
