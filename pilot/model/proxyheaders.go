package model

import (
	"google.golang.org/protobuf/types/known/wrapperspb"
	meshconfig "istio.io/api/mesh/v1alpha1"
)

// ProxyHeaders is what a proxy does with headers of its own, as its ProxyConfig says. The zero value leaves all
// to the defaults.
type ProxyHeaders struct {
	// What the proxy leaves as it is: the server header, x-request-id, x-envoy-attempt-count, and those of
	// Envoy for debugging.
	KeepServer, KeepRequestID, NoAttempts, NoDebug bool
	// Server is what the server header says; "" for the default.
	Server string
	// ClientCert is what becomes of x-forwarded-client-cert at servers' sidecars, as Istio's
	// ForwardClientCertDetails; "" for the default.
	ClientCert string
	// Details are the parts of a client's certificate in that header, at these sidecars as well.
	Details CertDetails
	// KeepCase leaves the names of headers of HTTP/1 as they were written.
	KeepCase bool
	// ForwardedHost and ForwardedPort add x-forwarded-host and x-forwarded-port.
	ForwardedHost, ForwardedPort bool
}

// CertDetails are parts of a certificate, where Set says that they are chosen.
type CertDetails struct{ Set, Subject, Cert, Chain, DNS, URI bool }

// NewProxyHeaders reads the settings of a proxy, nil ones as well. A value that is no header's is left out.
func NewProxyHeaders(h *meshconfig.ProxyConfig_ProxyHeaders) ProxyHeaders {
	out := ProxyHeaders{
		KeepServer: h.GetServer().GetDisabled().GetValue(), KeepRequestID: h.GetRequestId().GetDisabled().GetValue(),
		NoAttempts: h.GetAttemptCount().GetDisabled().GetValue(), NoDebug: h.GetEnvoyDebugHeaders().GetDisabled().GetValue(),
		KeepCase:      h.GetPreserveHttp1HeaderCase().GetValue(),
		ForwardedHost: h.GetXForwardedHost().GetEnabled().GetValue(), ForwardedPort: h.GetXForwardedPort().GetEnabled().GetValue(),
	}
	if s := h.GetServer().GetValue(); IsServerName(s) {
		out.Server = s
	}
	if d := h.GetForwardedClientCert(); d != meshconfig.ForwardClientCertDetails_UNDEFINED && meshconfig.ForwardClientCertDetails_name[int32(d)] != "" {
		out.ClientCert = d.String()
	}
	if d := h.GetSetCurrentClientCertDetails(); d != nil {
		out.Details = CertDetails{true, unlessNo(d.GetSubject()), d.GetCert().GetValue(), d.GetChain().GetValue(), unlessNo(d.GetDns()), unlessNo(d.GetUri())}
	}
	return out
}

// IsServerName tells whether a text can be what proxies call themselves in the server header.
func IsServerName(s string) bool { return Printable(s) == s && len(s) <= maxText }

func unlessNo(v *wrapperspb.BoolValue) bool { return v == nil || v.GetValue() }
