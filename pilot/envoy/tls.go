package envoy

import (
	"net/netip"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rawbuffer "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/raw_buffer/v3"
	tls "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

const (
	// Envoy finds an extension by the type of its settings; any name will do, and every cluster
	// carries these.
	transportTLS = "tls"
	transportRaw = "raw"
	// sdsCluster is the bootstrap's cluster of the node agent's secret server.
	sdsCluster = "sds-grpc"
)

// downstreamTLS gives the transport socket of a filter chain that terminates TLS.
func downstreamTLS(t *ir.DownstreamTLS) *core.TransportSocket {
	return &core.TransportSocket{
		Name: transportTLS, ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: Any(downstreamContext(t))},
	}
}

func downstreamContext(t *ir.DownstreamTLS) *tls.DownstreamTlsContext {
	ctx := &tls.DownstreamTlsContext{
		CommonTlsContext: &tls.CommonTlsContext{
			AlpnProtocols: t.ALPN,
			TlsParams:     tlsParams(t.Params),
		},
	}
	common := ctx.CommonTlsContext
	if t.CertFile != "" {
		common.TlsCertificates = []*tls.TlsCertificate{{
			CertificateChain: file(t.CertFile), PrivateKey: file(t.KeyFile),
		}}
	} else {
		for _, name := range t.CertSecrets {
			common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, sdsSecret(name))
		}
	}
	var names []*tls.SubjectAltNameMatcher
	for _, td := range t.TrustDomains {
		names = append(names, san(&matcher.StringMatcher{
			MatchPattern: &matcher.StringMatcher_Prefix{Prefix: "spiffe://" + td + "/"},
		}))
	}
	peer := &tls.CertificateValidationContext{
		MatchTypedSubjectAltNames: append(names, exactSANs(t.SubjectAltNames)...),
		VerifyCertificateSpki:     t.KeyHashes, VerifyCertificateHash: t.CertificateHashes,
	}
	if t.AcceptUntrusted {
		peer.TrustChainVerification = tls.CertificateValidationContext_ACCEPT_UNTRUSTED
	}
	if t.RootSecret != "" {
		common.ValidationContextType = validation(rootSecret(t.RootSecret, t.CRLFile), peer)
	}
	if t.RequireClientCert {
		ctx.RequireClientCertificate = wrapperspb.Bool(true)
	}
	return ctx
}

// upstreamTLS gives the transport socket that speaks TLS to a cluster's hosts.
func upstreamTLS(t *ir.UpstreamTLS) *core.TransportSocket {
	common := &tls.CommonTlsContext{
		AlpnProtocols: t.ALPN, TlsParams: clientTLSParams(t.Params),
	}
	if t.CertSecret != "" {
		common.TlsCertificateSdsSecretConfigs = []*tls.SdsSecretConfig{sdsSecret(t.CertSecret)}
	}
	if t.RootSecret != "" {
		server := &tls.CertificateValidationContext{MatchTypedSubjectAltNames: exactSANs(t.SubjectAltNames)}
		common.ValidationContextType = validation(rootSecret(t.RootSecret, t.CRLFile), server)
	}
	return &core.TransportSocket{
		Name: transportTLS,
		ConfigType: &core.TransportSocket_TypedConfig{
			TypedConfig: Any(&tls.UpstreamTlsContext{CommonTlsContext: common, Sni: t.SNI}),
		},
	}
}

// validation checks the peer's certificate against roots that come by SDS and as the rest says.
func validation(rootSecret string, rest *tls.CertificateValidationContext) *tls.CommonTlsContext_CombinedValidationContext {
	return &tls.CommonTlsContext_CombinedValidationContext{
		CombinedValidationContext: &tls.CommonTlsContext_CombinedCertificateValidationContext{
			DefaultValidationContext:         rest,
			ValidationContextSdsSecretConfig: sdsSecret(rootSecret),
		},
	}
}

func san(m *matcher.StringMatcher) *tls.SubjectAltNameMatcher {
	return &tls.SubjectAltNameMatcher{SanType: tls.SubjectAltNameMatcher_URI, Matcher: m}
}

// exactSANs matches an identity as URI, every other name as DNS name or, as users write either, as URI, and an
// address of a host or of mail as what it is.
func exactSANs(names []string) []*tls.SubjectAltNameMatcher {
	var out []*tls.SubjectAltNameMatcher
	for _, name := range names {
		m := &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: name}}
		if !strings.Contains(name, "://") {
			out = append(out, &tls.SubjectAltNameMatcher{SanType: tls.SubjectAltNameMatcher_DNS, Matcher: m})
		}
		if _, err := netip.ParseAddr(name); err == nil {
			out = append(out, &tls.SubjectAltNameMatcher{SanType: tls.SubjectAltNameMatcher_IP_ADDRESS, Matcher: m})
		}
		if strings.Contains(name, "@") {
			out = append(out, &tls.SubjectAltNameMatcher{SanType: tls.SubjectAltNameMatcher_EMAIL, Matcher: m})
		}
		out = append(out, san(m))
	}
	return out
}

// tlsParams gives what is negotiated.
func tlsParams(p ir.TLSParams) *tls.TlsParameters {
	versions := [...]tls.TlsParameters_TlsProtocol{
		ir.TLSAuto: tls.TlsParameters_TLS_AUTO, ir.TLS10: tls.TlsParameters_TLSv1_0, ir.TLS11: tls.TlsParameters_TLSv1_1,
		ir.TLS12: tls.TlsParameters_TLSv1_2, ir.TLS13: tls.TlsParameters_TLSv1_3,
	}
	if p.Min == ir.TLSAuto {
		p.Min = ir.TLS12
	}
	return &tls.TlsParameters{
		TlsMinimumProtocolVersion: versions[p.Min], TlsMaximumProtocolVersion: versions[p.Max], CipherSuites: p.Ciphers, EcdhCurves: p.Curves,
	}
}

// clientTLSParams gives what is negotiated with servers: TLS 1.2, Envoy's own minimum for clients, which is
// also its own maximum, so that TLS 1.3 has to be asked for.
func clientTLSParams(p ir.TLSParams) *tls.TlsParameters {
	out := &tls.TlsParameters{TlsMaximumProtocolVersion: tls.TlsParameters_TLSv1_3, CipherSuites: p.Ciphers, EcdhCurves: p.Curves}
	if p.Min == ir.TLS13 {
		out.TlsMinimumProtocolVersion = tls.TlsParameters_TLSv1_3
	}
	return out
}

// sdsSecret fetches a secret: of the control plane's from it, else from the node agent. The workload's own
// come for sure, so without a timeout a listener or cluster waits for its secret instead of refusing connections
// without it. One of the control plane, or a file that somebody named, may be missing for good, which must hold
// up nobody else.
func sdsSecret(name string) *tls.SdsSecretConfig {
	if strings.HasPrefix(name, ir.SecretKubernetes) {
		return &tls.SdsSecretConfig{Name: name, SdsConfig: &core.ConfigSource{
			ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
			ResourceApiVersion:    core.ApiVersion_V3,
		}}
	}
	var patience *durationpb.Duration // of Envoy's own, 15 s
	if !strings.HasPrefix(name, "file-") {
		patience = durationpb.New(0)
	}
	return &tls.SdsSecretConfig{
		Name: name,
		SdsConfig: &core.ConfigSource{
			InitialFetchTimeout: patience,
			ConfigSourceSpecifier: &core.ConfigSource_ApiConfigSource{ApiConfigSource: &core.ApiConfigSource{
				ApiType:             core.ApiConfigSource_GRPC,
				TransportApiVersion: core.ApiVersion_V3,
				GrpcServices: []*core.GrpcService{{
					TargetSpecifier: &core.GrpcService_EnvoyGrpc_{EnvoyGrpc: &core.GrpcService_EnvoyGrpc{ClusterName: sdsCluster}},
				}},
			}},
		},
	}
}

func file(path string) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_Filename{Filename: path}}
}

// rawBuffer gives the transport socket of plaintext.
func rawBuffer() *core.TransportSocket {
	return &core.TransportSocket{
		Name: transportRaw, ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: Any(&rawbuffer.RawBuffer{})},
	}
}

// rootSecret names roots that stand beside a revocation list: the node agent reads both, and follows them.
func rootSecret(name, crl string) string {
	if crl == "" {
		return name
	}
	return name + "~" + crl
}
