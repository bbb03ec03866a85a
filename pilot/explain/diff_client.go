package explain

import (
	"fmt"
	"strings"

	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
)

// connections adds those that a filter chain may take: of bytes in the clear, and by TLS where it looks at names of
// handshakes or passes on what comes. Of the latter is told what becomes of them otherwise than of bytes.
func connections(out map[string]probe, chain *listenerv3.FilterChain, r Request, where string) {
	plain := "tcp://" + where
	out[plain] = probe{name: plain, request: r}
	if chain.GetTransportSocket() != nil && hasManager(chain) {
		return // requests tell of it
	}
	names := namesAsked(chain)
	if len(names) == 0 && (chain.GetTransportSocket() != nil || hasManager(chain)) {
		return
	}
	add := func(name, sni string, like string) {
		d := &door{asks: asksCertificate(chain)}
		r.TLS, r.Host = &TLS{}, sni
		for _, r := range d.clients(r) {
			r.Host = ""
			out[name+r.shows()] = probe{name: name + r.shows(), like: like, request: r}
			like = name
		}
	}
	for _, name := range names {
		add(fmt.Sprintf("tls://%s:%s", name, where[strings.LastIndexByte(where, ':')+1:]), name, "")
	}
	if len(names) == 0 {
		add("tls://"+where, "", plain)
	}
}

// namesAsked gives the names in handshakes that a filter chain takes, and for a pattern one that matches it.
func namesAsked(chain *listenerv3.FilterChain) []string {
	var out []string
	for _, name := range chain.GetFilterChainMatch().GetServerNames() {
		out = append(out, strings.Replace(name, "*", "any", 1))
	}
	return out
}

// asksCertificate tells whether a filter chain looks at certificates of clients.
func asksCertificate(chain *listenerv3.FilterChain) bool {
	ctx, ends, err := serverTLS(chain)
	return err == nil && ends && verifies(ctx)
}

// asked gives a host that a domain matches. Where the domain is that of all hosts, the handshake has to lead to the
// door nevertheless.
func (d *door) asked(domain string) string {
	if domain == "*" && len(d.names) > 0 {
		return d.names[0]
	}
	return strings.Replace(domain, "*", "any", 1)
}

// clients gives a request of those clients whom a door tells apart: without a certificate, and, where it looks at
// certificates, with one that it takes.
func (d *door) clients(r Request) []Request {
	if r.TLS == nil {
		return []Request{r}
	}
	name, _ := splitPort(r.Host)
	r.TLS = &TLS{SNI: name}
	out := []Request{r}
	if d.asks {
		r.TLS = &TLS{SNI: name, Certificate: true, Fitting: true}
		out = append(out, r)
	}
	return out
}

// shows says that the client has a certificate.
func (r *Request) shows() string {
	if r.TLS != nil && r.TLS.Fitting {
		return " with a client certificate"
	}
	return ""
}
