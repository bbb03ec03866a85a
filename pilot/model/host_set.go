package model

import (
	"slices"
	"strings"
)

// HostSet is a canonical form of the hosts that an object names, with the object; none of them holds "/" or ",".
func HostSet(of Key, hosts []string) string {
	hosts = slices.Clone(hosts)
	slices.Sort(hosts)
	return HostSetOf(of) + strings.Join(slices.Compact(hosts), ",")
}

// HostSetOf is how the HostSet of an object begins.
func HostSetOf(of Key) string { return of.Namespace + "/" + of.Name + "/" }

// ParseHostSet gives the namespace of the object of a HostSet, and its hosts.
func ParseHostSet(set string) (namespace string, hosts []string) {
	namespace, rest, _ := strings.Cut(set, "/")
	_, list, _ := strings.Cut(rest, "/")
	return namespace, strings.Split(list, ",")
}
