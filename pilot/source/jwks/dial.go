package jwks

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

// Bounds of one question to an issuer.
const (
	fetchTimeout = 5 * time.Second // discovery and keys together
	maxHeader    = 64 << 10
)

// NewClient gives a client that asks addresses which whoever writes configuration may choose: it follows
// no redirect, uses no proxy, and connects to no address of this machine, link or cloud (checked when it
// dials, so that no name can hide one), nor to a private one where these are closed.
func NewClient(closePrivate bool) *http.Client {
	dialer := &net.Dialer{Timeout: fetchTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return checkAddress(at.Addr(), closePrivate)
	}}
	return &http.Client{
		Timeout: fetchTimeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: fetchTimeout,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// metadata are the addresses at which clouds tell a machine its secrets and that are not link-local.
var metadata = []netip.Prefix{
	netip.MustParsePrefix("100.100.100.200/32"), // Alibaba Cloud
	netip.MustParsePrefix("168.63.129.16/32"),   // Azure
	netip.MustParsePrefix("192.0.0.192/32"),     // Oracle Cloud
	netip.MustParsePrefix("fd00:ec2::/32"),      // AWS
	netip.MustParsePrefix("fd20:ce::254/128"),   // Google Cloud
}

// embedding are prefixes of IPv6 whose last 32 bits are an address of IPv4 (RFC 6052).
var embedding = netip.MustParsePrefix("64:ff9b::/96")

// checkAddress tells why an address may not be asked.
func checkAddress(a netip.Addr, closePrivate bool) error {
	if a = a.WithZone("").Unmap(); embedding.Contains(a) {
		b := a.As16()
		a = netip.AddrFrom4([4]byte(b[12:]))
	}
	refuse := func(what string) error { return fmt.Errorf("%s is %s, which is not asked for keys", a, what) }
	for _, p := range metadata {
		if p.Contains(a) {
			return refuse("an address of cloud metadata")
		}
	}
	switch {
	case a.IsLoopback(), a.IsUnspecified(), a.Is4() && a.As4()[0] == 0:
		return refuse("an address of this machine")
	case a.IsLinkLocalUnicast(), a.IsMulticast(), a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return refuse("an address of the link")
	case closePrivate && (a.IsPrivate() || netip.MustParsePrefix("100.64.0.0/10").Contains(a)):
		return refuse("a private address")
	}
	return nil
}
