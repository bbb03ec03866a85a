package envoy

import (
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

const filterHCM = "envoy.filters.network.http_connection_manager"

func httpConnectionManager(m *ir.HTTPConnectionManager, elements Elements) *listenerv3.Filter {
	out := &hcm.HttpConnectionManager{
		CodecType:         hcm.HttpConnectionManager_AUTO,
		StatPrefix:        m.StatPrefix,
		HttpFilters:       httpFilters(m.Filters, elements),
		ServerName:        m.ServerName,
		UseRemoteAddress:  wrapperspb.Bool(m.UseRemoteAddress),
		XffNumTrustedHops: m.TrustedHops,
		StreamIdleTimeout: durationpb.New(0), // streams may be idle for as long as they like
		UpgradeConfigs:    []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}},
		Proxy_100Continue: true, // whether a client is to go on is the server's to say
		NormalizePath:     wrapperspb.Bool(m.Path.Normalize),
		MergeSlashes:      m.Path.MergeSlashes,
		// "a.example." is "a.example" (RFC 1034) to routes, and to all that decides by host.
		StripTrailingHostDot: true,
		AccessLog:            accessLogs(m.AccessLog, elements),

		EarlyHeaderMutationExtensions: earlyRemoval(m.EarlyRemoval),
	}
	setEscapedSlashes(out, m.Path.EscapedSlashes)
	if m.AcceptHTTP10 || m.KeepCase {
		out.HttpProtocolOptions = &core.Http1ProtocolOptions{AcceptHttp_10: m.AcceptHTTP10, HeaderKeyFormat: headerCase(m.KeepCase)}
	}
	if m.ExtendedConnect {
		out.Http2ProtocolOptions = &core.Http2ProtocolOptions{AllowConnect: true}
	}
	if m.HTTP3 {
		out.CodecType, out.Http3ProtocolOptions = hcm.HttpConnectionManager_HTTP3, http3(&m.Limits)
	}
	setLimits(out, &m.Limits)
	setUnderscores(out, m.Underscores)
	out.LocalReplyConfig = denials(m.Denials)
	setTracing(out, m.Tracing)
	setClientCert(out, m.ClientCert, m.CertDetails)
	setHeaders(out, m)
	if m.Routes != nil {
		out.RouteSpecifier = &hcm.HttpConnectionManager_RouteConfig{RouteConfig: RouteConfig(m.Routes)}
	} else {
		out.RouteSpecifier = &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{
			RouteConfigName: m.RouteConfigName, ConfigSource: ads(),
		}}
	}
	return networkFilter(filterHCM, out)
}

func setClientCert(out *hcm.HttpConnectionManager, mode ir.ClientCertDetails, d ir.CertDetails) {
	switch mode {
	case ir.ClientCertAppendForward:
		out.ForwardClientCertDetails = hcm.HttpConnectionManager_APPEND_FORWARD
	case ir.ClientCertSanitizeSet:
		out.ForwardClientCertDetails = hcm.HttpConnectionManager_SANITIZE_SET
	case ir.ClientCertForwardOnly:
		out.ForwardClientCertDetails = hcm.HttpConnectionManager_FORWARD_ONLY
	case ir.ClientCertAlwaysForward:
		out.ForwardClientCertDetails = hcm.HttpConnectionManager_ALWAYS_FORWARD_ONLY
	case ir.ClientCertSanitize:
		out.ForwardClientCertDetails = hcm.HttpConnectionManager_SANITIZE
	}
	if mode == ir.ClientCertAppendForward || mode == ir.ClientCertSanitizeSet { // the others say nothing themselves
		out.SetCurrentClientCertDetails = &hcm.HttpConnectionManager_SetCurrentClientCertDetails{
			Subject: wrapperspb.Bool(d.Subject), Cert: d.Cert, Chain: d.Chain, Dns: d.DNS, Uri: d.URI,
		}
	}
}

// ads has no timeout: a listener waits for its routes instead of answering 404.
func ads() *core.ConfigSource {
	return &core.ConfigSource{
		ConfigSourceSpecifier: &core.ConfigSource_Ads{Ads: &core.AggregatedConfigSource{}},
		InitialFetchTimeout:   durationpb.New(0),
		ResourceApiVersion:    core.ApiVersion_V3,
	}
}
