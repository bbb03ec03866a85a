package sds

import (
	"slices"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/agent/secret"
	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

// The validator that looks up an identity's trust domain, and its settings (SPIFFECertValidatorConfig of Envoy).
const (
	spiffeValidator     = "envoy.tls.cert_validator.spiffe"
	spiffeValidatorType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig"
)

// validation puts roots in Envoy's words. Where trust domains have roots of their own, an identity is verified by
// those of its domain and no others. That validator reads lists of what was revoked among the roots only.
func validation(v *secret.Value) (*node.CertificateValidationContext, error) {
	if len(v.Domains) == 0 {
		out := &node.CertificateValidationContext{TrustedCa: inline(v.Roots)}
		if len(v.CRL) > 0 {
			out.Crl = inline(v.CRL)
		}
		return out, nil
	}
	config := &node.SPIFFECertValidatorConfig{}
	for _, d := range v.Domains {
		bundle := d.Roots
		if len(bundle) == 0 {
			bundle = slices.Concat(v.Roots, v.CRL)
		}
		config.TrustDomains = append(config.TrustDomains, &node.SPIFFECertValidatorConfig_TrustDomain{Name: d.Name, TrustBundle: inline(bundle)})
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(config)
	if err != nil {
		return nil, err
	}
	return &node.CertificateValidationContext{CustomValidatorConfig: &node.TypedExtensionConfig{
		Name: spiffeValidator, TypedConfig: &node.Any{TypeUrl: spiffeValidatorType, Value: data},
	}}, nil
}
