package explain

import (
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"

	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
)

// versions are those of TLS by Envoy's names. What is left open is from 1.2 to 1.3 (TlsParameters in common.proto).
var versions = map[tlsv3.TlsParameters_TlsProtocol]uint16{
	tlsv3.TlsParameters_TLSv1_0: tls.VersionTLS10, tlsv3.TlsParameters_TLSv1_1: tls.VersionTLS11,
	tlsv3.TlsParameters_TLSv1_2: tls.VersionTLS12, tlsv3.TlsParameters_TLSv1_3: tls.VersionTLS13,
}

// suites are those that Envoy's servers take where nothing else is said (cipher_suites of TlsParameters).
func suites() []string {
	return []string{
		"ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-CHACHA20-POLY1305",
		"ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384",
	}
}

// disagreed says which version or cipher suite of TLS a filter chain and the client have not in common; "" where they can
// speak.
func (w *walk) disagreed(t *tlsv3.CommonTlsContext) string {
	client, p := w.request.TLS, t.GetTlsParams()
	oldest := cmp.Or(versions[p.GetTlsMinimumProtocolVersion()], tls.VersionTLS12)
	newest := cmp.Or(versions[p.GetTlsMaximumProtocolVersion()], tls.VersionTLS13)
	if w.request.Protocol == HTTP3 {
		oldest, newest = tls.VersionTLS13, tls.VersionTLS13
	}
	spoken := min(newest, cmp.Or(client.Newest, tls.VersionTLS13))
	switch {
	case spoken < oldest:
		return fmt.Sprintf("the filter chain takes %s or newer, and the client offers %s at most", tls.VersionName(oldest), tls.VersionName(client.Newest))
	case spoken < client.Oldest:
		return fmt.Sprintf("the filter chain takes %s at most, and the client offers %s or newer", tls.VersionName(newest), tls.VersionName(client.Oldest))
	case spoken == tls.VersionTLS13: // whose suites are not chosen
		return ""
	}
	taken := alternatives(p.GetCipherSuites())
	if len(taken) == 0 {
		taken = suites()
	}
	keys := w.keys(t)
	if !slices.ContainsFunc(taken, func(s string) bool {
		return (client.Ciphers == nil || slices.Contains(client.Ciphers, s)) && (len(keys) == 0 || slices.Contains(keys, keyOf(s))) &&
			(spoken == tls.VersionTLS12 || strings.HasSuffix(s, "-SHA")) // the others are newer than TLS 1.1
	}) {
		return fmt.Sprintf("the filter chain takes the cipher suites %s of %s, of which the client and the server's certificate have none", strings.Join(taken, ", "), tls.VersionName(spoken))
	}
	return ""
}

// alternatives takes suites of one rank, [A|B], apart.
func alternatives(all []string) []string {
	var out []string
	for _, s := range all {
		out = append(out, strings.Split(strings.Trim(s, "[]"), "|")...)
	}
	return out
}

// keyOf gives the kind of key that a suite is for.
func keyOf(suite string) x509.PublicKeyAlgorithm {
	if strings.HasPrefix(suite, "ECDHE-ECDSA-") {
		return x509.ECDSA
	}
	return x509.RSA
}

// keys are the kinds of the server's keys; none where a certificate of it is not known here.
func (w *walk) keys(t *tlsv3.CommonTlsContext) []x509.PublicKeyAlgorithm {
	var out []x509.PublicKeyAlgorithm
	for _, s := range t.GetTlsCertificateSdsSecretConfigs() {
		leaf := w.leaf(s.GetName())
		if leaf == nil {
			return nil
		}
		out = append(out, leaf.PublicKeyAlgorithm)
	}
	return out
}

// leaf gives the certificate of a secret; nil where it is not known here.
func (w *walk) leaf(secret string) *x509.Certificate {
	block, _ := pem.Decode(inline(w.secrets[secret].GetTlsCertificate().GetCertificateChain()))
	if block == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return leaf
}

// presents tells which certificate the client sees, where it is of a Secret.
func (w *walk) presents(t *tlsv3.CommonTlsContext) {
	for _, s := range t.GetTlsCertificateSdsSecretConfigs() {
		leaf := w.leaf(s.GetName())
		if leaf == nil || !strings.HasPrefix(s.GetName(), servedSecrets) {
			continue
		}
		if o := &w.answer.Outcome; o.Presented == "" {
			o.Presented = strings.Join(leaf.DNSNames, ",")
		}
		w.step(StageHandshake, "", fmt.Sprintf("shows the client the certificate of %s (%s)", describeSecret(s.GetName()), cmp.Or(strings.Join(leaf.DNSNames, ", "), nameOf(leaf))), nil)
	}
}
