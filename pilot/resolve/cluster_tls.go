package resolve

import (
	"cmp"
	"slices"
	"strings"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// meshALPN is what clients offer on mutual TLS connections of the mesh: Istio's name for what is
// inside, by which inbound filter chains choose, then the plain name, which is negotiated.
func meshALPN(p model.Protocol, v ir.Upstream) []string {
	switch {
	case p.IsHTTP() && v == ir.UpstreamHTTP2:
		return []string{"istio-h2", "istio", "h2"}
	case p.IsHTTP() && v == ir.UpstreamHTTP1:
		return []string{"istio-http/1.1", "istio", "http/1.1"}
	}
	return []string{"istio"}
}

// sniffedALPN is what HTTP requests offer through a cluster that carries HTTP of any version, and
// TCP. No plain name is among it: none is negotiated, so the server looks at the bytes.
const sniffedALPN = "istio-http/1.1,istio"

// upgradedALPN is the same of a cluster that carries TCP, and HTTP of any version as HTTP/2.
const upgradedALPN = "istio-h2,istio"

// applyTLS decides how a cluster's hosts are spoken to: as the DestinationRule says, else mutual
// TLS with those endpoints that can, where the mesh has it automatic.
func (b *clusterBuilder) applyTLS(t block[networking.ClientTLSSettings], svc *model.Service, port *model.ServicePort, subset string, cl *ir.Cluster) {
	sni := model.DNSSNIName(port.Port, subset, svc.Hostname)
	if t.spec == nil {
		passthrough := cl.Discovery == ir.DiscoveryOriginalDst
		auto := b.r.Mesh().GetEnableAutoMtls()
		if svc.External || cl.Discovery == ir.DiscoveryDynamic || auto != nil && !auto.GetValue() || !serviceMTLS(b.r, b.c, svc, port, passthrough) {
			return
		}
		b.meshTLS(sni, b.accounts(svc), port.Protocol, cl)
		cl.AutoTLS = !passthrough
		return
	}
	b.reportTLSConflict(t, svc, port)
	switch t.spec.GetMode() {
	case networking.ClientTLSSettings_DISABLE:
	case networking.ClientTLSSettings_ISTIO_MUTUAL:
		sni = cmp.Or(t.spec.GetSni(), sni)
		names := t.spec.GetSubjectAltNames()
		if len(names) == 0 {
			names = b.accounts(svc)
		}
		b.meshTLS(sni, names, port.Protocol, cl)
		if cl.Discovery == ir.DiscoveryDynamic {
			cl.TLS.SNI = t.spec.GetSni()
			cl.HTTP.AutoSNI, cl.HTTP.AutoSAN = cl.TLS.SNI == "", len(names) == 0
		}
	default:
		b.originateTLS(t, svc, cl)
	}
}

// maxSNI is the longest name that Envoy takes for a handshake (UpstreamTlsContext.sni in tls.proto).
const maxSNI = 255

// meshTLS makes a cluster speak the mesh's mutual TLS. A handshake names no server where the name would
// be too long, of a very long host: only gateways that pass TLS through look at it.
func (b *clusterBuilder) meshTLS(sni string, names []string, protocol model.Protocol, cl *ir.Cluster) {
	if len(sni) > maxSNI {
		sni = ""
	}
	cl.TLS = &ir.UpstreamTLS{
		CertSecret: ir.SecretWorkload, RootSecret: rootOfNames(b.r, names), SNI: sni,
		ALPN: meshALPN(protocol, cl.HTTP.Version), SubjectAltNames: names,
		Params: meshTLSParams(b.r),
	}
	switch {
	case cl.HTTP.Version == ir.UpstreamHTTP2 && protocol == model.ProtocolAuto:
		cl.Metadata.ALPN = upgradedALPN
	case cl.HTTP.Version == ir.UpstreamDownstream || protocol == model.ProtocolAuto:
		cl.Metadata.ALPN = sniffedALPN
	}
}

// originateTLS applies the modes SIMPLE and MUTUAL with files of the proxy's container, or with Secrets at
// gateways and where the rule selects the workload. What cannot be had leaves TLS on, without it: traffic that
// should be encrypted never goes in plaintext.
func (b *clusterBuilder) originateTLS(t block[networking.ClientTLSSettings], svc *model.Service, cl *ir.Cluster) {
	s := t.spec
	out := &ir.UpstreamTLS{SNI: s.GetSni(), SubjectAltNames: s.GetSubjectAltNames(), Params: defaultTLSParams(b.r)}
	if len(out.SubjectAltNames) == 0 && !s.GetInsecureSkipVerify().GetValue() {
		out.SubjectAltNames = svc.SubjectAltNames
	}
	if cl.HTTP.Version == ir.UpstreamHTTP2 {
		out.ALPN = []string{"h2"}
	}
	skip := s.GetInsecureSkipVerify().GetValue()
	if !skip {
		out.RootSecret = fileAuthorities(s.GetCaCertificates())
		if s.GetCredentialName() == "" { // a Secret has its own list
			out.CRLFile = s.GetCaCrl()
		}
	}
	switch {
	case s.GetCredentialName() == "":
	case b.c.Type == model.RouterProxy, t.object != nil && slices.Contains(b.c.DestinationRules, t.object.Key):
		out.CertSecret, out.RootSecret = model.ClientSecrets(s)
	case t.object != nil:
		b.report(t.object.WarningAt(t.field+".credentialName", model.ReasonNotTranslated,
			"as in Istio sidecars have Secrets only where the rule has a workloadSelector; the others speak TLS without a client certificate, and check servers by the system's roots"))
	}
	if s.GetMode() == networking.ClientTLSSettings_MUTUAL && s.GetClientCertificate() != "" {
		out.CertSecret = fileCertificate(s.GetClientCertificate(), s.GetPrivateKey())
	}
	cl.HTTP.AutoSNI = out.SNI == ""
	cl.HTTP.AutoSAN = (out.SNI == "" || cl.Discovery == ir.DiscoveryDynamic) && !skip && len(out.SubjectAltNames) == 0
	cl.TLS = out
}

// accounts gives the names that certificates of a service's endpoints may have: their identities, in
// every trust domain that the mesh knows, and what a ServiceEntry says.
func (b *clusterBuilder) accounts(svc *model.Service) []string {
	own := spiffe + trustDomain(b.r) + "/"
	out := slices.Concat(svc.ServiceAccounts, svc.SubjectAltNames)
	for _, id := range svc.ServiceAccounts {
		if rest, ok := strings.CutPrefix(id, own); ok {
			for _, alias := range b.r.Mesh().GetTrustDomainAliases() {
				out = append(out, spiffe+alias+"/"+rest)
			}
		}
	}
	return distinct(out)
}
