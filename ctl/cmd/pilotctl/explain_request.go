package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// request reads the flags and the URL, which were checked.
func (e *explanation) request(u *url.URL, c *explain.Config, router bool) (explain.Request, error) {
	r := explain.Request{Way: explain.Outbound, Method: e.method, Host: u.Host, Path: u.RequestURI(), Header: http.Header{}}
	if router {
		r.Way = explain.Direct
	}
	if e.inbound {
		if r.Way = explain.Inbound; router {
			return r, fmt.Errorf("--inbound: the proxy of --from is a gateway, to which requests come anyway")
		}
	}
	for _, h := range e.headers {
		name, value, _ := strings.Cut(h, ":")
		if value = strings.TrimSpace(value); strings.EqualFold(name, "host") {
			r.Host = value
		} else {
			r.Header.Add(name, value)
		}
	}
	var err error
	if r.Claims, err = claims(e.claims); err != nil {
		return r, err
	}
	e.speaks(u, &r)
	if r.Protocol == explain.HTTP3 && r.Way != explain.Direct {
		return r, errors.New("h3: it comes over UDP, of which a sidecar takes nothing; ask a gateway, or what the request is inside of the mesh")
	}
	if r.Protocol == explain.TCP {
		r.Method, r.Host, r.Path = "", "", ""
	}
	if err := e.sent(u, c, &r); err != nil {
		return r, err
	}
	if r.Way == explain.Outbound {
		r.Source = c.IP
	}
	if err := e.identified(&r); err != nil {
		return r, err
	}
	if err := e.shows(&r); err != nil {
		return r, err
	}
	if r.TLS != nil {
		r.TLS.Newest = tlsVersions[e.tlsMax]
		if r.TLS.Ciphers, err = ciphers(e.ciphers); err != nil {
			return r, err
		}
	}
	for _, flag := range []string{"sni", "alpn", "tls-max", "ciphers"} {
		if r.TLS == nil && e.given(flag) {
			return r, fmt.Errorf("--%s: the client speaks no TLS; use https, wss, h3 or tls", flag)
		}
	}
	if e.source != "" {
		if r.Source, err = netip.ParseAddr(e.source); err != nil {
			return r, fmt.Errorf("--source %q: not an IP address", e.source)
		}
	}
	return r, nil
}

// sent finds out where the client connects to.
func (e *explanation) sent(u *url.URL, c *explain.Config, r *explain.Request) error {
	if path, ok := strings.CutPrefix(e.to, model.UnixScheme); ok {
		r.Way, r.Socket, r.OfPod = explain.Direct, path, true
		return nil
	}
	if to, err := netip.ParseAddrPort(e.to); err == nil {
		r.Destination, r.OfPod = to, true
		if own(c, r) {
			r.Way, r.Local = explain.Direct, true
		} else if c.Host != nil && r.Way == explain.Outbound {
			r.Named = c.Host(to.Addr().String())
		}
		return nil
	}
	asked := askedPort(u)
	port := asked
	r.OfPod = slices.ContainsFunc([]string{e.to, u.Hostname()}, func(s string) bool {
		ip, err := netip.ParseAddr(s)
		return err == nil && (ip.IsLoopback() || c.IP.IsValid() && ip.Unmap() == c.IP.Unmap())
	})
	switch {
	case r.Way == explain.Direct && !r.OfPod:
		port = c.ArrivesAt(asked, r.Protocol == explain.HTTP3)
	case r.Way == explain.Inbound:
		port = c.LeadsTo(asked)
	}
	if port != asked {
		r.Port = asked
	}
	to, err := netip.ParseAddr(u.Hostname())
	switch {
	case e.to != "":
		if to, err = netip.ParseAddr(e.to); err != nil {
			return fmt.Errorf("--to %q: neither an IP address, with a port or without, nor unix:///PATH", e.to)
		}
		if c.Host != nil && r.Way == explain.Outbound {
			r.Named = c.Host(e.to)
		}
	case r.Way == explain.Outbound && (u.Hostname() == "localhost" || strings.HasSuffix(u.Hostname(), ".localhost")): // RFC 6761
		to = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	case r.Way == explain.Outbound:
		if to, r.Named, err = c.Find(u.Hostname(), e.namespace, port); err != nil {
			return err
		}
	case err != nil && c.IP.IsValid(): // it comes to the pod
		to = c.IP
	case err != nil:
		to = netip.MustParseAddr(explain.UnknownAddress)
	}
	r.Destination = netip.AddrPortFrom(to, port)
	if own(c, r) {
		r.Way, r.Named, r.Local, r.OfPod = explain.Direct, nil, true, true
	}
	return nil
}

// own tells of what a workload sends that it is to itself, over the loopback interface, of which nothing is captured.
func own(c *explain.Config, r *explain.Request) bool {
	to := r.Destination.Addr()
	return r.Way == explain.Outbound && (to.IsLoopback() || c.IP.IsValid() && to.Unmap() == c.IP.Unmap())
}

// askedPort is the URL's port, else that of its scheme.
func askedPort(u *url.URL) uint16 {
	if p, err := strconv.ParseUint(u.Port(), 10, 16); err == nil {
		return uint16(p)
	}
	if secure(u) {
		return 443
	}
	return 80
}

// secure tells whether a scheme is of TLS.
func secure(u *url.URL) bool {
	return slices.Contains([]string{"https", "wss", "h3", "tls"}, u.Scheme)
}

// identified gives the request the identity of its client, which speaks the mesh's TLS where the URL says of none.
func (e *explanation) identified(r *explain.Request) error {
	if e.identity == "" && (!e.mtls || r.TLS != nil) {
		return nil
	}
	if r.Way == explain.Outbound {
		return fmt.Errorf("%s: the workload of --from is known by its own; give it with --inbound, or for the client of a gateway", map[bool]string{true: "--identity", false: "--mtls"}[e.identity != ""])
	}
	id := "" // some workload's
	if e.identity != "" {
		var err error
		if id, err = identityOf("--identity", e.identity); err != nil {
			return err
		}
	}
	if r.TLS == nil {
		r.TLS = &explain.TLS{SNI: e.sni, ALPN: []string{"istio-http/1.1", "istio"}}
		if r.Protocol == explain.TCP {
			r.TLS.ALPN = []string{"istio"}
		}
		if len(e.alpn) > 0 {
			r.TLS.ALPN = e.alpn
		}
	}
	r.TLS.Certificate, r.TLS.Identity = true, id
	return nil
}

// shows has the client show the certificates of a file. Keys beside them are passed over.
func (e *explanation) shows(r *explain.Request) error {
	switch {
	case e.cert == "":
		return nil
	case e.mtls || e.identity != "":
		return errors.New("--cert: --mtls and --identity stand for a certificate of the mesh; give one or the other")
	case r.TLS == nil:
		return errors.New("--cert: the client speaks no TLS; use https, wss, h3 or tls")
	}
	data, err := readFile(e.cert, maxText)
	if err != nil {
		return fmt.Errorf("--cert: %w", err)
	}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return fmt.Errorf("--cert %s: %w", e.cert, err)
		}
		r.TLS.Chain = append(r.TLS.Chain, c)
	}
	if len(r.TLS.Chain) == 0 {
		return fmt.Errorf("--cert %s: there is no certificate in PEM", e.cert)
	}
	r.TLS.Certificate, r.TLS.At = true, time.Now()
	if uris := r.TLS.Chain[0].URIs; len(uris) > 0 {
		r.TLS.Identity = uris[0].String()
	}
	return nil
}

// protocols are what the URL's schemes stand for.
var protocols = map[string]explain.Protocol{
	"http": explain.HTTP11, "https": explain.HTTP11, "ws": explain.HTTP11, "wss": explain.HTTP11, "grpc-web": explain.HTTP11,
	"http1.0": explain.HTTP10, "h2c": explain.HTTP2, "grpc": explain.HTTP2, "h3": explain.HTTP3, "tcp": explain.TCP, "tls": explain.TCP,
}

// tlsVersions are those of TLS by their names.
var tlsVersions = map[string]uint16{"1.0": tls.VersionTLS10, "1.1": tls.VersionTLS11, "1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13}

// speaks sets what the URL's scheme stands for.
func (e *explanation) speaks(u *url.URL, r *explain.Request) {
	r.Protocol = protocols[u.Scheme]
	switch u.Scheme {
	case "grpc":
		r.Method = "POST"
		r.Header.Set("Content-Type", "application/grpc")
	case "grpc-web":
		r.Method = "POST"
		r.Header.Set("Content-Type", "application/grpc-web+proto")
	case "ws", "wss":
		r.Header.Set("Connection", "Upgrade")
		r.Header.Set("Upgrade", "websocket")
	}
	if !secure(u) {
		return
	}
	r.TLS = &explain.TLS{SNI: u.Hostname(), ALPN: e.alpn, Certificate: e.mtls}
	if _, err := netip.ParseAddr(u.Hostname()); err == nil {
		r.TLS.SNI = "" // no address is a name (RFC 6066)
	}
	if e.sni != "" {
		r.TLS.SNI = e.sni
	}
	if e.alpn == nil && r.Protocol == explain.HTTP11 {
		r.TLS.ALPN = []string{"http/1.1"}
	}
}

// ciphers reads the suites that a client offers, also as OpenSSL's tool takes them, between colons. A suite by the name
// that it has in the standards would fit none of a server's, whatever the client offers.
func ciphers(given []string) ([]string, error) {
	var out []string
	for _, list := range given {
		for _, suite := range strings.Split(list, ":") {
			if strings.Contains(suite, "_") {
				return nil, fmt.Errorf("--ciphers %q: use OpenSSL's name of a suite of TLS 1.2 or older, as ECDHE-RSA-AES128-GCM-SHA256", suite)
			}
			out = append(out, suite)
		}
	}
	return out, nil
}
