package explain

// doubled tells whether the client's own TLS goes within the TLS that the proxy speaks to a server.
func (w *walk) doubled(e *Endpoint) bool {
	return w.request.TLS != nil && !w.terminated && e.TLS != "none"
}

// doubleTLS is why a server does not understand TLS within TLS.
const doubleTLS = "the client's own TLS goes within the TLS of the proxy (double TLS), which a server of HTTPS refuses"

// doubleTLSDetails say of endpoints that they get TLS within TLS that is not the mesh's.
func (w *walk) doubleTLSDetails(c *Cluster, f *Forward) []string {
	for i := range c.Endpoints {
		if w.nested(f, &c.Endpoints[i]) {
			return []string{doubleTLS + ": leave out tls.mode of the DestinationRule for this port, or have the client speak in the clear"}
		}
	}
	return nil
}

// nested tells whether an endpoint gets TLS within TLS of which only a server that ends both makes sense. The mesh's
// mutual TLS is ended by the proxy beside the server, and what is tunnelled comes out at the tunnel's end.
func (w *walk) nested(f *Forward, e *Endpoint) bool {
	return f.Tunnel == "" && w.doubled(e) && !e.meshTLS
}

// refuseNested ends connections to servers that find TLS within TLS, but where a proxy there has ended the outer one.
func (w *walk) refuseNested(f *Forward, c *Cluster) {
	for i := range c.Endpoints {
		if e := &c.Endpoints[i]; e.Percent > 0 && e.Refusal == "" && !e.unwrapped && w.nested(f, e) {
			e.Refusal = e.Address + ": " + doubleTLS
		}
	}
}
