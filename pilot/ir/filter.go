package ir

// ListenerFilter is one filter of a listener, which sees a connection before it has a filter chain:
// one of OriginalDst, ProxyProtocol, TLSInspector and HTTPInspector. Connections pass them in the order of the list.
type ListenerFilter interface{ listenerFilter() }

// OriginalDst restores the destination that a connection had before it was redirected to the proxy.
type OriginalDst struct{}

// ProxyProtocol takes the client's address from a header of the PROXY protocol, without which it refuses a
// connection.
type ProxyProtocol struct{}

// TLSInspector finds whether a connection is TLS, and its SNI and ALPN, in the first bytes. It leaves
// connections to DisabledPorts, which are sorted, alone.
type TLSInspector struct{ DisabledPorts []uint32 }

// HTTPInspector finds whether a connection in the clear is HTTP, as TLSInspector does.
type HTTPInspector struct{ DisabledPorts []uint32 }

func (OriginalDst) listenerFilter()   {}
func (ProxyProtocol) listenerFilter() {}
func (TLSInspector) listenerFilter()  {}
func (HTTPInspector) listenerFilter() {}

// NetworkFilter is one filter of a filter chain, which sees the bytes of a connection: one of
// *RBAC, *ExtAuthz, SNIForward, UpstreamGuard, and *HTTPConnectionManager and *TCPProxy, which stand last. Bytes pass them in the order of the list.
type NetworkFilter interface{ networkFilter() }

func (*HTTPConnectionManager) networkFilter() {}
func (*TCPProxy) networkFilter()              {}

// HTTPFilter is one filter of an HTTPConnectionManager: *RBAC, *ExtAuthz or one of the types below. Requests pass them in
// the order of the list, responses in the opposite one; a Router is last.
type HTTPFilter interface{ httpFilter() }

// GRPCStats counts gRPC calls and notes their messages for others. OnDemand is as in FaultInjection.
type GRPCStats struct{ OnDemand bool }

// GRPCWeb translates requests of gRPC-Web to gRPC, and their responses back; it leaves others alone.
type GRPCWeb struct{}

// ClusterALPN offers upstream the ALPN which the metadata of the chosen cluster names.
type ClusterALPN struct{}

// PeerState keeps what a client's proxy says of itself in a request's headers, as Key of the filter state, for logs,
// which see a request when the headers are gone.
type PeerState struct{ Format, Key string }

// HeaderRemoval takes headers out of requests, so that no later filter, nor what it asks, sees them.
type HeaderRemoval struct{ Headers []string }

// PeerHeaders tell servers' proxies who the proxy is: Set has headers, each with the variable of the environment of
// Envoy's process that has its value. It takes Strip out of requests, and all of them out of responses.
type PeerHeaders struct {
	Set   []HeaderVariable
	Strip []string
}

// HeaderVariable is a header and the variable of Envoy's environment with its value.
type HeaderVariable struct{ Header, Variable string }

// FaultInjection delays and aborts as Route.Fault says. OnDemand lets only those requests pass it whose route, as it is
// when they come, says something, which costs the others nothing.
type FaultInjection struct{ OnDemand bool }

// CrossOrigin answers and checks cross-origin requests as Route.CORS says. OnDemand is as in FaultInjection.
type CrossOrigin struct{ OnDemand bool }

// Router sends requests where their route says.
type Router struct {
	NoDebugHeaders bool // such as x-envoy-upstream-service-time, which are not added
}

func (GRPCStats) httpFilter()      {}
func (GRPCWeb) httpFilter()        {}
func (ClusterALPN) httpFilter()    {}
func (PeerState) httpFilter()      {}
func (HeaderRemoval) httpFilter()  {}
func (PeerHeaders) httpFilter()    {}
func (FaultInjection) httpFilter() {}
func (CrossOrigin) httpFilter()    {}
func (Router) httpFilter()         {}
