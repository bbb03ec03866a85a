package envoy

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// Secret gives the message for a secret.
func Secret(s *ir.Secret) *tls.Secret {
	if len(s.Certificate) == 0 {
		return &tls.Secret{Name: s.Name, Type: &tls.Secret_ValidationContext{ValidationContext: &tls.CertificateValidationContext{
			TrustedCa: inline(s.Authorities), Crl: inline(s.CRL),
		}}}
	}
	return &tls.Secret{Name: s.Name, Type: &tls.Secret_TlsCertificate{TlsCertificate: &tls.TlsCertificate{
		CertificateChain: inline(s.Certificate), PrivateKey: inline(s.Key), OcspStaple: inline(s.OCSPStaple),
	}}}
}

func inline(data []byte) *core.DataSource {
	if len(data) == 0 {
		return nil
	}
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: data}}
}
