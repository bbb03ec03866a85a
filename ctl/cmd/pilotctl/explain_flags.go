package main

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
)

// url reads what is asked for, and refuses what no client could ask.
func (e *explanation) url(target string) (*url.URL, error) {
	u, err := url.Parse(target)
	switch {
	case err != nil || u.Hostname() == "":
		return nil, fmt.Errorf("%q is no URL as http://reviews:9080/path", target)
	case protocols[u.Scheme] == "":
		return nil, fmt.Errorf("scheme %q: use http, http1.0, h2c, grpc, grpc-web, ws, https, wss, h3, tcp or tls", u.Scheme)
	case u.User != nil:
		return nil, fmt.Errorf("%q: a user in the URL means nothing to a proxy; leave it out", target)
	}
	if p := u.Port(); p != "" {
		if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
			return nil, fmt.Errorf("%q: port %s is not between 1 and 65535", target, p)
		}
	}
	if err := hostName(u.Hostname()); err != nil {
		return nil, fmt.Errorf("%q: %w", target, err)
	}
	if protocols[u.Scheme] == explain.TCP {
		switch {
		case u.Port() == "" && u.Scheme == "tcp":
			return nil, fmt.Errorf("%q: give the port, as tcp://HOST:PORT", target)
		case strings.Trim(u.RequestURI(), "/") != "":
			return nil, fmt.Errorf("%q: bytes have no path; use http or https, or leave it out", target)
		}
	}
	return u, nil
}

// dnsLabel is one of a host's name. Names of Services have no underscore, but others may.
var dnsLabel = regexp.MustCompile(`^[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?$`)

// hostName tells why a host is neither an IP address nor a name of DNS.
func hostName(host string) error {
	if _, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return nil
	}
	name := strings.TrimSuffix(host, ".")
	for l := range strings.SplitSeq(name, ".") {
		if !dnsLabel.MatchString(l) {
			return fmt.Errorf("host %q is neither an IP address nor a name of DNS", host)
		}
	}
	if len(name) > 253 {
		return fmt.Errorf("host %.30q… is longer than 253 letters", host)
	}
	return nil
}

// checkFlags refuses flags that make no sense, for themselves or together with the URL.
func (e *explanation) checkFlags(u *url.URL) error {
	bytes := protocols[u.Scheme] == explain.TCP
	for _, f := range []string{"method", "header", "claim"} {
		if bytes && e.given(f) {
			return fmt.Errorf("--%s: %s is no HTTP", f, u.Scheme)
		}
	}
	grpc := u.Scheme == "grpc" || u.Scheme == "grpc-web"
	switch {
	case !httpguts.ValidHeaderFieldName(e.method): // a token as well (RFC 9110, 9.1)
		return fmt.Errorf("--method %q: no method of HTTP, which is a word as GET", e.method)
	case e.method == "CONNECT":
		return errors.New("--method CONNECT: tunnels are not followed; ask for what is sent in it")
	case grpc && e.given("method") && e.method != "POST":
		return fmt.Errorf("--method %s: gRPC asks by POST", e.method)
	case u.Scheme == "h3" && e.given("alpn"):
		return errors.New("--alpn: by HTTP/3 a client offers h3 and nothing else")
	case e.tlsMax != "" && tlsVersions[e.tlsMax] == 0:
		return fmt.Errorf("--tls-max %q: use 1.0, 1.1, 1.2 or 1.3", e.tlsMax)
	case e.sni != "" && hostName(e.sni) != nil:
		return fmt.Errorf("--sni %q: no name of DNS", e.sni)
	}
	for _, p := range e.alpn {
		if p == "" || len(p) > 255 {
			return fmt.Errorf("--alpn %q: a protocol's name has 1 to 255 bytes", p)
		}
	}
	for _, h := range e.headers {
		if err := checkHeader(h); err != nil {
			return err
		}
	}
	return nil
}

// checkHeader tells why a header cannot be sent.
func checkHeader(h string) error {
	name, value, ok := strings.Cut(h, ":")
	value = strings.TrimSpace(value)
	switch {
	case !ok:
		return fmt.Errorf("-H %q: write \"name: value\"", h)
	case !httpguts.ValidHeaderFieldName(name):
		return fmt.Errorf("-H %q: %q is no name of a header", h, name)
	case !httpguts.ValidHeaderFieldValue(value):
		return fmt.Errorf("-H %q: a value has no control characters", h)
	case !strings.EqualFold(name, "host"):
		return nil
	}
	u, err := url.Parse("http://" + value)
	if err != nil || u.Host != value || hostName(u.Hostname()) != nil {
		return fmt.Errorf("-H %q: the host is neither an IP address nor a name of DNS, with a port or without", h)
	}
	return nil
}
