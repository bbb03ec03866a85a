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
	Locality       Locality
	// Proven tells that the proxy proved that it is of its namespace.
	Proven bool
}
