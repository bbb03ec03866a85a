package model

import (
	"slices"
	"strings"
)

// HostSet is a canonical form of the hosts that an object of a namespace names; none of them holds "/" or ",".
func HostSet(namespace string, hosts []string) string {
	hosts = slices.Clone(hosts)
	slices.Sort(hosts)
	return namespace + "/" + strings.Join(slices.Compact(hosts), ",")
}

// ParseHostSet gives what a HostSet was made of.
func ParseHostSet(set string) (namespace string, hosts []string) {
	namespace, list, _ := strings.Cut(set, "/")
	return namespace, strings.Split(list, ",")
}
