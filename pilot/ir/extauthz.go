package ir

import "time"

// ExtAuthz asks a server about what the RBAC before it has noted, as an HTTPFilter about requests and as a
// NetworkFilter, which has GRPC only, about connections.
type ExtAuthz struct {
	// NotedPrefix is the RBAC's ShadowPrefix, and RulePrefix what the names of its rules begin with.
	NotedPrefix, RulePrefix string
	// Cluster is where the server is, and Host its name.
	Cluster, Host string
	GRPC          bool // else HTTP
	Timeout       time.Duration
	// FailOpen lets pass where the server does not answer; else StatusOnError is the answer, 403 if 0.
	FailOpen        bool
	StatusOnError   uint32
	ClearRouteCache bool
	Body            *CheckedBody
	HTTP            CheckHTTP
}

// CheckedBody is how much of a request's body the server is sent.
type CheckedBody struct {
	MaxBytes       uint32
	Partial, Bytes bool
}

// CheckHTTP is what is particular to servers that are asked by HTTP.
type CheckHTTP struct {
	PathPrefix string
	// Asked are the headers of the request that the server gets beside those that it always does, Add what
	// else it gets.
	Asked []StringMatch
	Add   []Header
	// Upstream are headers of its answer that the workload gets, Allowed and Denied those that the client
	// does.
	Upstream, Allowed, Denied []StringMatch
}

func (*ExtAuthz) httpFilter()    {}
func (*ExtAuthz) networkFilter() {}
