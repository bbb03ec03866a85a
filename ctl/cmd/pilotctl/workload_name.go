package main

import (
	"slices"
	"strings"
)

// workloadNamed takes apart what a user calls a workload: NAME.NAMESPACE, NAMESPACE/NAME, or in a namespace that is
// given otherwise NAME or kubectl's KIND/NAME. What is before a slash is a kind where kubectl would take it for one;
// after a kind istioctl takes a namespace too, as in deployment/NAME.NAMESPACE.
func workloadNamed(given, namespace string) (name, in string, ok bool) {
	before, after, found := strings.Cut(given, "/")
	switch {
	case found && workloadKind(before):
		if strings.Contains(after, "/") {
			return "", "", false
		}
		return workloadNamed(after, namespace)
	case found:
		return after, before, before != "" && after != "" && !strings.Contains(after, "/")
	}
	if at := strings.LastIndexByte(given, '.'); at >= 0 {
		return given[:at], given[at+1:], at > 0 && at < len(given)-1
	}
	return given, namespace, given != ""
}

// workloadKind tells whether kubectl knows a word as the kind of a workload, be it with its API group.
func workloadKind(word string) bool {
	word, _, _ = strings.Cut(strings.ToLower(word), ".")
	return slices.Contains([]string{
		"po", "deploy", "rc", "cj", "pod", "deployment", "statefulset", "daemonset", "replicaset", "replicationcontroller", "job", "cronjob",
	}, strings.TrimSuffix(word, "s")) || slices.Contains([]string{"sts", "ds", "rs"}, word)
}
