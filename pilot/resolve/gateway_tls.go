package resolve

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	networking "istio.io/api/networking/v1alpha3"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// handshakeTime keeps those from holding connections who never end a handshake, as in Istio.
const handshakeTime = 15 * time.Second

// serverTLS gives how a server terminates TLS.
func serverTLS(r Reader, s *gatewayServer) *ir.DownstreamTLS {
	t := s.spec.GetTls()
	mode := t.GetMode()
	out := &ir.DownstreamTLS{Params: serverTLSParams(r, t), Handshake: handshakeTime}
	if s.serves == servesHTTPS {
		out.ALPN = []string{"h2", "http/1.1"}
	}
	switch {
	case mode == networking.ServerTLSSettings_ISTIO_MUTUAL:
		mesh := InboundTLS(r)
		out.CertSecrets, out.RootSecret, out.TrustDomains = mesh.CertSecrets, mesh.RootSecret, mesh.TrustDomains
	case asksClients(mode):
		out.CertSecrets, out.RootSecret = serverCertificates(t), clientAuthorities(t)
	default:
		out.CertSecrets = serverCertificates(t)
	}
	if asksClients(mode) {
		out.RequireClientCert = mode != networking.ServerTLSSettings_OPTIONAL_MUTUAL
		if out.SubjectAltNames = t.GetSubjectAltNames(); len(out.SubjectAltNames) > 0 {
			out.TrustDomains = nil // any name of the two would do, and the list is to be the narrower
			if mode == networking.ServerTLSSettings_ISTIO_MUTUAL {
				out.RootSecret = rootOfNames(r, out.SubjectAltNames)
			}
		}
		out.KeyHashes, out.CertificateHashes = t.GetVerifyCertificateSpki(), t.GetVerifyCertificateHash()
		// Envoy's check of SPIFFE identities, which tells whose roots count, would pass over pins of keys and certificates.
		if pinned := len(out.KeyHashes)+len(out.CertificateHashes) > 0; pinned && len(ir.FurtherDomains(out.RootSecret)) > 0 {
			if out.RootSecret = ir.SecretRoot; out.TrustDomains != nil {
				out.TrustDomains = ownDomains(r)
			}
		}
		if authoritiesCredential(t) == "" { // a Secret has its own list
			out.CRLFile = t.GetCaCrl()
		}
		out.AcceptUntrusted = t.GetInsecureSkipVerify().GetValue()
	}
	return out
}

// asksClients tells whether clients are asked for a certificate.
func asksClients(mode networking.ServerTLSSettings_TLSmode) bool {
	switch mode {
	case networking.ServerTLSSettings_MUTUAL, networking.ServerTLSSettings_OPTIONAL_MUTUAL, networking.ServerTLSSettings_ISTIO_MUTUAL:
		return true
	}
	return false
}

// credentials are the names of the Secrets that a server presents.
func credentials(t *networking.ServerTLSSettings) []string {
	if len(t.GetCredentialNames()) > 0 {
		return t.GetCredentialNames()
	}
	if t.GetCredentialName() != "" {
		return []string{t.GetCredentialName()}
	}
	return nil
}

// serverCertificates gives the SDS names of what a server presents: Secrets, or files in the proxy.
func serverCertificates(t *networking.ServerTLSSettings) []string {
	var out []string
	for _, name := range credentials(t) {
		out = append(out, model.SecretName(name))
	}
	if len(out) > 0 {
		return out
	}
	for _, pair := range t.GetTlsCertificates() {
		out = append(out, fileCertificate(pair.GetServerCertificate(), pair.GetPrivateKey()))
	}
	if len(out) > 0 {
		return out
	}
	return []string{fileCertificate(t.GetServerCertificate(), t.GetPrivateKey())}
}

// fileCertificate is the SDS name of a certificate and key in files of the proxy, and fileAuthorities that of the
// authorities in one; "" stands for the system's.
func fileCertificate(certificate, key string) string { return "file-cert:" + certificate + "~" + key }

func fileAuthorities(path string) string { return "file-root:" + cmp.Or(path, "system") }

// clientAuthorities gives the SDS name of the authorities that clients' certificates are checked against.
func clientAuthorities(t *networking.ServerTLSSettings) string {
	if name := authoritiesCredential(t); name != "" {
		return model.SecretName(name)
	}
	path := t.GetCaCertificates()
	for _, pair := range t.GetTlsCertificates() {
		if path == "" {
			path = pair.GetCaCertificates()
		}
	}
	return "file-root:" + path
}

// authoritiesCredential is the name of the Secret that has the authorities; "" for files.
func authoritiesCredential(t *networking.ServerTLSSettings) string {
	if name := t.GetCaCertCredentialName(); name != "" {
		return name
	}
	if names := credentials(t); len(names) > 0 {
		return names[0] + model.AuthoritiesSuffix
	}
	return ""
}

// secretUse is where a Gateway names a Secret, or a DestinationRule for a sidecar; or that some DestinationRule does whose
// host a router may lead to.
type secretUse struct {
	object *model.Object // nil for DestinationRules of a router, which are looked for where the Secret is missing
	field  string
	// authorities tells that it is what clients are checked against.
	authorities bool
}

// addSecrets notes the Secrets that a server names, and reports names that can be none's.
func (p *GatewayPlan) addSecrets(s *gatewayServer) []model.Problem {
	t := s.spec.GetTls()
	if s.serves != servesHTTPS && s.serves != servesTLS || t.GetMode() == networking.ServerTLSSettings_ISTIO_MUTUAL {
		return nil
	}
	var problems []model.Problem
	add := func(field, credential string, authorities bool) {
		u := secretUse{s.gateway, s.field + ".tls." + field, authorities}
		if scheme, _, found := strings.Cut(credential, "://"); found && scheme != "kubernetes" {
			problems = append(problems, u.problem(model.ReasonNotTranslated, "secrets of "+scheme+":// are not served; name a Secret"))
			return
		}
		name := model.SecretName(credential)
		p.secrets.uses[name] = append(p.secrets.uses[name], u)
	}
	for i, name := range credentials(t) {
		field := "credentialName"
		if len(t.GetCredentialNames()) > 0 {
			field = fmt.Sprintf("credentialNames[%d]", i)
		}
		add(field, name, false)
		if i == 0 && asksClients(t.GetMode()) && t.GetCaCertCredentialName() == "" {
			add(field, name+model.AuthoritiesSuffix, true)
		}
	}
	if name := t.GetCaCertCredentialName(); name != "" && asksClients(t.GetMode()) {
		add("caCertCredentialName", name, true)
	}
	return problems
}

func (u secretUse) same(o secretUse) bool {
	if u.object == nil || o.object == nil {
		return u == o
	}
	return u.object.Key == o.object.Key && u.object.Origin == o.object.Origin && u.field == o.field && u.authorities == o.authorities
}

// addDestinationSecrets notes the Secrets that TLS to services needs.
func (p *GatewayPlan) addDestinationSecrets(r Reader) {
	for _, name := range r.DestinationSecrets(p.class.Namespace) {
		if p.secrets.uses[name] == nil {
			p.secrets.uses[name] = []secretUse{{authorities: strings.HasSuffix(name, model.AuthoritiesSuffix)}}
		}
	}
}

func (u secretUse) problem(reason model.Reason, why string) model.Problem {
	return u.object.ErrorAt(u.field, reason, why+", until then connections to the server fail")
}
