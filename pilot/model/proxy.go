package model

// ProxyType is the first part of a node ID.
type ProxyType string

const (
	// SidecarProxy runs beside one workload.
	SidecarProxy ProxyType = "sidecar"
	// RouterProxy is a gateway.
	RouterProxy ProxyType = "router"
)

// Proxy is one connected Envoy as it described itself in its node, with the identity that it
// proved. What of it decides configuration is in resolve.Class.
type Proxy struct {
	ID             string // the whole node ID, type~ip~pod.ns~domain
	Type           ProxyType
	Name           string // pod name
	Namespace      string
	DNSDomain      string   // e.g. default.svc.cluster.local
	IPs            []string // INSTANCE_IPS, else the node ID's; the first is the primary
	Labels         map[string]string
	ServiceAccount string
	ClusterID      string
	Network        string
	NetworkView    []string // networks whose workloads alone it is to see (ISTIO_META_REQUESTED_NETWORK_VIEW)
	Node           string   // that it says it is on; that of its Pod object counts first
	IstioVersion   string
	Interception   string // REDIRECT, TPROXY or NONE
	DNSCapture     bool
	HTTP10         bool   // it takes requests of HTTP/1.0 (ISTIO_META_HTTP10)
	Unprivileged   bool   // it cannot listen on ports below 1024 (ISTIO_META_UNPRIVILEGED_POD)
	HTTPProxyPort  uint32 // where a sidecar is an HTTP proxy, in the place of MeshConfig's port (ISTIO_META_HTTP_PROXY_PORT)
	Locality       Locality
	// Metadata are the short texts among the node's metadata, which patches of EnvoyFilters may ask for.
	Metadata map[string]string
	Topology *Topology // what a router says of proxies before it; nil for nothing
	// Connections is how the proxy says that it takes connections; nil for nothing.
	Connections *Connections
	Headers     *ProxyHeaders // likewise of the headers that it makes itself
	// LongPeer tells that its agent knows nothing of the short form in which proxies say who they are: it is older,
	// or Istio's.
	LongPeer bool
	// LogService tells that its bootstrap has the cluster of an access log service (envoyAccessLogService).
	LogService bool
	// AsksForBootstrap tells that its agent asks what EnvoyFilters put over the bootstrap (BOOTSTRAP_XDS_AGENT).
	AsksForBootstrap bool
	// Secrets tells that the proxy may have Secrets of its namespace, since it proved to be of it.
	Secrets bool
	// Proof is what it proved; nil for a caller without proof. Peer is the address that it connects from, without
	// the port; "" where it is unknown.
	Proof *Proof
	Peer  string
}

// Proof is what a proxy proved of itself beside its namespace.
type Proof struct {
	ServiceAccount string
	Pod            string // that the proof is bound to; "" for none
	// Foreign tells that it is by another issuer than that of the control plane's own cluster: the pod is none of this
	// cluster, also where one has its name.
	Foreign bool
}

// Topology says of a gateway which proxies it stands behind.
type Topology struct {
	// TrustedProxies before it are believed about the client's address.
	TrustedProxies uint32
	// ClientCert is what becomes of x-forwarded-client-cert, as Istio's ForwardClientCertDetails; "" for
	// its default.
	ClientCert string
	// ProxyProtocol tells that connections begin with a header of the PROXY protocol.
	ProxyProtocol bool
}
