package model

import "strings"

// ResolveHost gives the name that a host in a configuration object stands for, in the one form in which
// names are compared. It is in lower case, without a final dot, and completed by the object's namespace
// and the cluster's domain where it is short. Only a name without a dot is short; a wildcard is not.
func ResolveHost(host, namespace, domain string) string {
	host = CanonicalHost(host)
	if host == "" || strings.ContainsAny(host, ".*") {
		return host
	}
	return host + "." + namespace + ".svc." + domain
}

// CanonicalHost gives a host name as it is compared: case and a final dot mean nothing (RFC 1034).
func CanonicalHost(host string) string {
	return strings.TrimSuffix(strings.ToLower(host), ".")
}

// HostCovers tells whether pattern ("*", "*.suffix" or a name) matches all that host stands for. Both
// are canonical.
func HostCovers(pattern, host string) bool {
	if suffix, ok := strings.CutPrefix(pattern, "*"); ok {
		return strings.HasSuffix(strings.TrimPrefix(host, "*"), suffix)
	}
	return pattern == host
}
