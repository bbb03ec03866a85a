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
	IstioVersion   string
	Interception   string // REDIRECT, TPROXY or NONE
	DNSCapture     bool
	HTTP10         bool // it takes requests of HTTP/1.0 (ISTIO_META_HTTP10)
	Locality       Locality
	// Metadata are the short texts among the node's metadata, which patches of EnvoyFilters may ask for.
	Metadata map[string]string
	Topology *Topology // what a router says of proxies before it; nil for nothing
	// Secrets tells that the proxy may have Secrets of its namespace, since it proved to be of it.
	Secrets bool
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
