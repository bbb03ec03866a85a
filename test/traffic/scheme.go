package traffic

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// speak sets what the scheme stands for.
func (call *Call) speak(r *explain.Request, host string) error {
	offer := func(alpn ...string) {
		r.TLS = &explain.TLS{SNI: host, ALPN: alpn, Certificate: call.MTLS}
		if call.MTLS {
			r.TLS.Identity = meshIdentity
		}
		if call.ALPN != nil {
			r.TLS.ALPN = call.ALPN
		}
		switch {
		case call.SNI == "-" || call.SNI == "" && net.ParseIP(host) != nil:
			r.TLS.SNI = ""
		case call.SNI != "":
			r.TLS.SNI = call.SNI
		}
	}
	switch call.scheme {
	case "http":
		r.Protocol = explain.HTTP11
	case "http1.0":
		r.Protocol = explain.HTTP10
	case "ws":
		r.Protocol = explain.HTTP11
		r.Header["Connection"], r.Header["Upgrade"] = []string{"Upgrade"}, []string{"websocket"}
	case "h2c":
		r.Protocol = explain.HTTP2
	case "grpc":
		r.Protocol, r.Method = explain.HTTP2, "POST"
		r.Header["Content-Type"] = []string{"application/grpc"}
	case "grpc-web":
		r.Protocol, r.Method = explain.HTTP11, "POST"
		r.Header["Content-Type"] = []string{"application/grpc-web+proto"}
	case "https":
		r.Protocol = explain.HTTP11
		offer("http/1.1")
	case "h2":
		r.Protocol = explain.HTTP2
		offer("h2")
	case "h3":
		r.Protocol = explain.HTTP3
		offer("h3")
	case "tls", "first+tls":
		r.Protocol = explain.TCP
		offer()
	case "tcp":
		r.Protocol = explain.TCP
	case "first":
		r.Protocol, r.ServerFirst = explain.TCP, true
	default:
		return fmt.Errorf("there is no scheme %q", call.scheme)
	}
	if r.Protocol == explain.TCP {
		r.Method, r.Host, r.Path = "", "", ""
	}
	return nil
}

// versions are those of TLS by their names.
var versions = map[string]uint16{"": 0, "1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// handshake sets what the client offers in TLS beside the name, and the certificate that it shows.
func (call *Call) handshake(made *certificates) error {
	h := call.request.TLS
	if h == nil {
		if call.Shows+call.TLSMin+call.TLSMax != "" || call.Ciphers != nil {
			return fmt.Errorf("scheme %s has no TLS", call.scheme)
		}
		return nil
	}
	h.Oldest, h.Newest, h.Ciphers = versions[call.TLSMin], versions[call.TLSMax], call.Ciphers
	if call.Shows != "" {
		p := made.pair(call.Shows)
		h.Certificate, h.Chain, h.At, call.own = true, []*x509.Certificate{p.Leaf}, time.Now(), p.TLS(made.t)
	}
	return nil
}

// suites are those of TLS 1.2 that calls name, by OpenSSL's names.
var suites = map[string]uint16{
	"ECDHE-ECDSA-AES256-GCM-SHA384": tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
	"ECDHE-ECDSA-AES128-GCM-SHA256": tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
	"ECDHE-RSA-AES128-GCM-SHA256":   tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
}

// settings are those of the client's side of TLS.
func (r *runner) settings(call *Call) *tls.Config {
	h := call.request.TLS
	out := &tls.Config{ServerName: h.SNI, InsecureSkipVerify: true, NextProtos: h.ALPN, MinVersion: h.Oldest, MaxVersion: h.Newest}
	own := &call.own
	if call.MTLS {
		own = &r.mesh
	}
	if h.Certificate { // whichever authorities the server names
		out.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return own, nil }
	}
	for _, name := range h.Ciphers {
		out.CipherSuites = append(out.CipherSuites, suites[name])
	}
	return out
}
