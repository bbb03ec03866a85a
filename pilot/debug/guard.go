package debug

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// guard lets in the machine itself, but for what web pages in its browsers ask, and callers that prove to be of
// the mesh's root namespace. To pages about one proxy it also lets in those of the proxy's namespace.
func (s *Server) guard(p debugPage) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if local(r.RemoteAddr) && !foreignPage(r) || s.admit(w, r, p) {
			p.serve(w, r)
		}
	})
}

// admit tells whether a caller on another machine may see a page; where not it has answered.
func (s *Server) admit(w http.ResponseWriter, r *http.Request, p debugPage) bool {
	if s.opts.Authenticate == nil {
		http.Error(w, "debug pages are served to the control plane's own machine only; use a port-forward", http.StatusForbidden)
		return false
	}
	namespace, err := s.opts.Authenticate(r)
	if err != nil {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "debug pages need proof of identity: "+err.Error(), http.StatusUnauthorized)
		return false
	}
	snap, ok := s.snapshot(w)
	if !ok {
		return false
	}
	root := snap.Mesh().GetRootNamespace()
	if namespace == root || p.proxy && namespace == proxyNamespace(r) {
		return true
	}
	http.Error(w, s.forbidden(namespace), http.StatusForbidden)
	return false
}

// forbidden says what a namespace may see that asked for something else.
func (s *Server) forbidden(namespace string) string {
	return fmt.Sprintf("namespace %q may see config_dump of its own proxies; other pages are for namespace %q", namespace, s.opts.Snapshot().Mesh().GetRootNamespace())
}

// proxyNamespace gives the namespace of the proxy that a request names as POD.NAMESPACE; "" for none.
func proxyNamespace(r *http.Request) string {
	return namespaceOfProxy(r.URL.Query().Get("proxyID"))
}

// foreignPage tells whether a request may come from a web page in a browser of the machine. That is one
// that another site's page made, or one to a name that an attacker's DNS lets lead to loopback (DNS
// rebinding). Names of loopback and addresses cannot be taken for another site.
func foreignPage(r *http.Request) bool {
	if site := r.Header.Get("Sec-Fetch-Site"); site == "cross-site" || site == "same-site" {
		return true
	}
	host, _, err := net.SplitHostPort(r.Host)
	if err != nil {
		host = strings.TrimSuffix(strings.TrimPrefix(r.Host, "["), "]")
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return false
	}
	_, err = netip.ParseAddr(host)
	return err != nil
}

// namespaceOfProxy gives the namespace of POD.NAMESPACE.
func namespaceOfProxy(id string) string { return id[strings.LastIndexByte(id, '.')+1:] }

// local tells whether an address, host:port, is one of the machine itself.
func local(remote string) bool {
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}
