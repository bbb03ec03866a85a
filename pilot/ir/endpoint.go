package ir

// LoadAssignment holds the hosts of one EDS cluster.
type LoadAssignment struct {
	Cluster    string
	Localities []LocalityEndpoints // in a stable order; empty means that there are no hosts
}

// LocalityEndpoints are the hosts of one locality and priority.
type LocalityEndpoints struct {
	Region, Zone, SubZone string
	Priority              uint32 // 0 is used first
	Weight                uint32 // for clusters that balance by the weights of localities; else 0
	Endpoints             []Endpoint
}

// Endpoint is one host.
type Endpoint struct {
	Address string // IP, a DNS name in the Hosts of a cluster, or the path of a Unix socket
	Port    uint32 // 0 for a Unix socket
	Weight  uint32 // at least 1
	// Unhealthy hosts get no traffic. They count among those of their locality, the more of which are unhealthy
	// the more goes to others.
	Unhealthy bool
	// Plaintext is true where the cluster's TLS is automatic and the host does not understand it.
	Plaintext bool
	// Workload is "name;namespace;canonical name;revision;cluster", for tools.
	Workload string
}
