package jwks

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Bounds of one question to an issuer.
const (
	connectTimeout = 5 * time.Second // one address, and the handshake
	maxHeader      = 64 << 10
)

// NewClient gives a client for addresses that whoever writes configuration may choose. It follows no
// redirect, uses no proxy, and connects to no address of this machine, link or cloud, nor to a private
// one where these are closed. It checks the address when it dials, so that no name can hide one.
func NewClient(closePrivate bool) *http.Client {
	dialer := &net.Dialer{Timeout: connectTimeout, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return checkAddress(at.Addr(), closePrivate)
	}}
	return &http.Client{
		Timeout: model.MaxKeySetTimeout,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, DisableKeepAlives: true, MaxResponseHeaderBytes: maxHeader,
			TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: connectTimeout,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// checkAddress tells why an address may not be asked.
func checkAddress(a netip.Addr, closePrivate bool) error {
	a = model.EmbeddedAddress(a)
	what := model.LocalAddress(a)
	if what == "" && closePrivate && (a.IsPrivate() || netip.MustParsePrefix("100.64.0.0/10").Contains(a)) {
		what = "a private address"
	}
	if what != "" {
		return fmt.Errorf("%s is %s, which is not asked for keys", a, what)
	}
	return nil
}
