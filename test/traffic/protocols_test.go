package traffic

import (
	"maps"
	"slices"
	"testing"
)

// leastCalls is how many calls there have to be in all, and leastOf how many of each scheme, so that what a
// mesh carries is not only said to be tried.
const leastCalls = 400

func leastOf() map[string]int {
	return map[string]int{
		"http": 300, "http1.0": 5, "h2c": 10, "grpc": 3, "grpc-web": 2, "ws": 4, "https": 15, "h2": 2, "h3": 12, "tls": 40, "tcp": 50, "first": 12, "first+tls": 2,
	}
}

// Each protocol has calls.
func TestProtocolsHaveCalls(t *testing.T) {
	found, all := map[string]int{}, 0
	for _, c := range cases(t) {
		for _, call := range c.Calls {
			found[call.scheme]++
			all++
		}
	}
	if all < leastCalls {
		t.Errorf("there are %d calls, want %d", all, leastCalls)
	}
	for _, scheme := range slices.Sorted(maps.Keys(leastOf())) {
		if found[scheme] < leastOf()[scheme] {
			t.Errorf("there are %d calls by %s, want %d", found[scheme], scheme, leastOf()[scheme])
		}
	}
}
