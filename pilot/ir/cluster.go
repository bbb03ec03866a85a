package ir

import "time"

// Discovery tells how a cluster finds its hosts.
type Discovery uint8

const (
	// DiscoveryEDS means that the control plane sends the hosts in a load assignment.
	DiscoveryEDS Discovery = iota
	// DiscoveryOriginalDst means that the proxy goes where the application wanted to.
	DiscoveryOriginalDst
	// DiscoveryStatic means that the cluster has no hosts of its own (BlackHoleCluster).
	DiscoveryStatic
	// DiscoveryStrictDNS means that the proxy resolves the hosts' names, and each address is a host.
	DiscoveryStrictDNS
	// DiscoveryLogicalDNS means that the proxy resolves the one host's name, and connects to one of the
	// addresses.
	DiscoveryLogicalDNS
	// DiscoveryDynamic means that the proxy resolves the host that a request or a TLS handshake names
	// (dynamic.go).
	DiscoveryDynamic
)

// Balancing is a load-balancing policy.
type Balancing uint8

// The policies that Envoy implements and Istio's users can choose.
const (
	BalanceLeastRequest Balancing = iota
	BalanceRoundRobin
	BalanceRandom
	BalanceRingHash
	BalanceMaglev
	// BalanceByCluster leaves the choice to the cluster; the only one for DiscoveryOriginalDst.
	BalanceByCluster
)

// Upstream is the HTTP version that a cluster's hosts are spoken to in.
type Upstream uint8

const (
	// UpstreamHTTP1 is Envoy's default.
	UpstreamHTTP1 Upstream = iota
	// UpstreamHTTP2 speaks HTTP/2 with prior knowledge.
	UpstreamHTTP2
	// UpstreamDownstream speaks what the client spoke.
	UpstreamDownstream
)

// ServiceRef names a service that a cluster serves.
type ServiceRef struct{ Host, Name, Namespace string }

// EndpointSet says which endpoints belong to an EDS cluster.
type EndpointSet struct {
	Namespace string // the service's
	Host      string // the service's hostname
	Port      uint32 // the service's port
	PortName  string
	// Labels that an endpoint must carry, from the subset; nil for all.
	Labels map[string]string
	// Fallback are labels in the place of Labels while no endpoint has these, the first to be tried first.
	Fallback []map[string]string
	// MutualOnly leaves out endpoints that do not take the mesh's mutual TLS.
	MutualOnly bool
	// Unready takes in endpoints that are not ready, as unhealthy ones.
	Unready bool
	// NodeLocal leaves out endpoints that are not on the proxy's node.
	NodeLocal bool
	// ClusterLocal leaves out endpoints that are not in the proxy's cluster.
	ClusterLocal bool
	// ByNetwork tells that there are several networks, so that proxies of each have other hosts.
	ByNetwork bool
	Locality  LocalityPolicy
}

// LocalityPolicy says how endpoints are preferred by their distance to the proxy.
type LocalityPolicy struct {
	// Failover groups endpoints into priorities by how much of their locality they share with
	// the proxy; it takes effect only together with outlier detection.
	Failover bool
	// To gives for a region the one that it fails over to first; others come after it.
	To []FailoverRegion
	// By groups endpoints into priorities by how many of the labels, from the first on, they share with the
	// proxy. Failover orders those of which By says the same.
	By []FailoverLabel
	// OwnNetwork puts endpoints of other networks than the proxy's after all that By orders.
	OwnNetwork bool
	// Regions puts the endpoints of the proxy's own region before those of the others, among those of which By says
	// the same; To orders the others.
	Regions bool
	// Distribute replaces the weights of localities, for the first entry whose From matches.
	Distribute []Distribution
}

// ByPlace tells whether it depends on where the proxy is.
func (p *LocalityPolicy) ByPlace() bool {
	return p.Failover || p.Regions || len(p.By)+len(p.Distribute) > 0
}

// ZoneRouting keeps requests in the zone of the proxy, as far as the hosts there can take their share.
type ZoneRouting struct {
	Off      bool
	MinHosts uint32 // of the proxy's region, below which all zones are used alike; 0 is Envoy's 6
}

// FailoverLabel is a label that near endpoints have: with the value that is given, or with the proxy's own.
type FailoverLabel struct {
	Name, Value string
	Own         bool // the proxy's value counts, Value is empty
}

// FailoverRegion sends the traffic of one region to another when all its endpoints are ejected.
type FailoverRegion struct{ From, To string }

// Distribution gives shares of traffic by locality for proxies in From ("region/zone/*").
type Distribution struct {
	From string
	To   []LocalityShare // sorted by Locality; shares sum up to 100
}

// LocalityShare is a percentage for a locality pattern ("region/zone/*").
type LocalityShare struct {
	Locality string
	Percent  uint32
}

// IsDNS tells whether the proxy resolves the hosts' names.
func (d Discovery) IsDNS() bool { return d == DiscoveryStrictDNS || d == DiscoveryLogicalDNS }

// DNSLookup says how names are resolved.
type DNSLookup struct {
	IPv4, IPv6 bool          // the families that are asked for; both where neither is set
	Refresh    time.Duration // how long an answer without a time to live holds; 0 is Envoy's 5 s
}

// Cluster is one upstream cluster.
type Cluster struct {
	Name        string
	AltStatName string // the name in statistics; ends in ";" so that Envoy's tags can cut it
	Discovery   Discovery
	Endpoints   *EndpointSet // for DiscoveryEDS, and of which endpoints Hosts are made
	// Hosts are the hosts of a cluster whose Discovery is by DNS, and DNS how they are resolved.
	Hosts *LoadAssignment
	DNS   DNSLookup
	// PortOverride is the port to connect to in the place of the client's, for DiscoveryOriginalDst; 0
	// for none.
	PortOverride uint32
	Balancing    Balancing
	// TableSize is the least ring size (RingHash, 0 means 1024) or the table size (Maglev, 0
	// means Envoy's default).
	TableSize uint64
	// LocalityWeighted balances between localities by their weights.
	LocalityWeighted bool
	// Zones says whether proxies that know where their own replicas are keep to their zone; nil for Envoy's default.
	Zones *ZoneRouting
	// PanicThreshold is the percentage of healthy hosts below which all are used; nil is Envoy's 50.
	PanicThreshold *uint32
	SlowStart      *SlowStart

	ConnectTimeout time.Duration
	Keepalive      *TCPKeepalive
	BufferLimit    uint32 // bytes of a connection that may wait; 0 is Envoy's own
	Breakers       Breakers
	Outlier        *OutlierDetection
	HTTP           HTTPUpstream
	// RemoveHeaders are taken out of all requests, whatever route they come by.
	RemoveHeaders []string

	// TLS is used for every host, but where AutoTLS is set not for those that are marked as
	// plaintext. nil is plaintext for all.
	TLS     *UpstreamTLS
	AutoTLS bool
	// ProxyProtocol says that a connection begins with the address of the client's (PROXY protocol), in
	// this version, before TLS.
	ProxyProtocol ProxyVersion

	// Backend is the host of a cluster that leads to the workload itself, where it is not the address that
	// a connection was sent to; nil for that.
	Backend *Backend

	// BindSources are the addresses to connect from, at most one of each IP family.
	BindSources []string
	// CleanupInterval of hosts that are no longer used, for DiscoveryOriginalDst.
	CleanupInterval time.Duration

	Metadata ClusterMetadata
}

// Backend is an endpoint of the workload itself: an address and port, a Unix socket, or with a port alone
// the address that the connection was sent to.
type Backend struct {
	Address string
	Port    uint32
	Pipe    string // path, or @name
}

// ClusterMetadata says where a cluster came from, for tools.
type ClusterMetadata struct {
	Config   string // path of the DestinationRule; empty for none
	Subset   string
	Services []ServiceRef
	// ALPN is what HTTP requests to hosts with Istio's mutual TLS offer, comma-separated; the
	// outbound connection managers read it from the metadata (istio: alpn). Empty for none.
	ALPN string
}

// SlowStart raises the share of a new host gradually.
type SlowStart struct {
	Window     time.Duration
	MinPercent float64 // 0 to 100
	Aggression float64 // 0 means 1, linear
}

// TCPKeepalive holds socket options; 0 leaves the system's value.
type TCPKeepalive struct {
	Probes         uint32
	Time, Interval time.Duration
}

// Breakers are limits per proxy; all but the budget are always set.
type Breakers struct {
	MaxConnections, MaxPendingRequests, MaxRequests, MaxRetries uint32
	// RetryBudget takes the place of MaxRetries; nil for none.
	RetryBudget *RetryBudget
}

// RetryBudget limits retries by how many requests there are.
type RetryBudget struct {
	Percent float64 // of the requests that are active or pending, 0 to 100
	Least   uint32  // so many retries are always allowed
	// Interval adds the requests that began within it; 0 counts those that are active.
	Interval time.Duration
}

// ProxyVersion is a version of the PROXY protocol.
type ProxyVersion uint8

// The versions: none, the one in text, and the binary one.
const (
	ProxyVersionNone ProxyVersion = iota
	ProxyVersion1
	ProxyVersion2
)

// OutlierDetection ejects hosts that fail; nil fields keep Envoy's default.
type OutlierDetection struct {
	Consecutive5xx         *uint32 // 0 turns it off
	ConsecutiveGateway     *uint32 // 0 turns it off
	SplitLocalOrigin       bool
	ConsecutiveLocalOrigin *uint32
	Interval, BaseEjection time.Duration // 0 keeps the default
	MaxEjectionPercent     uint32        // 0 keeps the default
	// HTTPErrors are the statuses that count as errors, sorted; nil for those of 500 and more.
	HTTPErrors []uint32
}

// HTTPUpstream says how HTTP is spoken to a cluster; 0 means unset.
type HTTPUpstream struct {
	Version                  Upstream
	IdleTimeout              *time.Duration // 0 never closes
	MaxConnectionDuration    time.Duration
	MaxRequestsPerConnection uint32
	MaxConcurrentStreams     uint32
	KeepaliveInterval        time.Duration // HTTP/2 PING
	KeepaliveTimeout         time.Duration
	// AutoSNI derives SNI from the request's host; AutoSAN checks the certificate against it.
	AutoSNI, AutoSAN bool
	KeepCase         bool // leaves names of headers of HTTP/1 as they were written
}

// HashPolicy is one way to derive the hash that consistent hashing balances by; exactly one of
// its fields is set. It belongs to the routes that lead to the cluster.
type HashPolicy struct {
	Header     string
	Cookie     *HashCookie
	SourceIP   bool
	QueryParam string
}

// HashCookie names a cookie; with a TTL the proxy sets it where it is missing (0 is a session
// cookie).
type HashCookie struct {
	Name, Path string
	TTL        *time.Duration
	// Attributes are further ones of a cookie that the proxy sets, in their order.
	Attributes []CookieAttribute
}

// CookieAttribute is one such as SameSite=Lax, or Secure, which has no value.
type CookieAttribute struct{ Name, Value string }

// TCPPolicy is the part of a destination's traffic policy that a TCP proxy filter needs; 0
// means unset.
type TCPPolicy struct {
	IdleTimeout           *time.Duration // 0 never closes
	MaxConnectionDuration time.Duration
	Tunnel                *Tunnel // nil to send the bytes as they are
	// HashSourceIP balances by the address of the client, where the cluster hashes at all.
	HashSourceIP bool
}

// Tunnel sends a connection's bytes within a request of HTTP.
type Tunnel struct {
	Target string // host:port, where the one that is asked has to connect to
	POST   bool   // in the place of CONNECT
}
