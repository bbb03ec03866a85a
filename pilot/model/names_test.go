package model

import "testing"

// The names of clusters are taken apart as they are put together, those of connections that are passed on among them.
func TestClusterParts(t *testing.T) {
	for name, want := range map[string]struct {
		port         uint32
		subset, host string
	}{
		ClusterName("outbound", 80, "v1", "a.b"): {80, "v1", "a.b"},
		ClusterName("inbound", 8080, "", ""):     {8080, "", ""},
		DNSSNIName(80, "v1", "a.b"):              {80, "v1", "a.b"},
		DNSSNIName(443, "", "a_.b"):              {443, "", "a_.b"},
		PassthroughCluster:                       {},
		"outbound_.80":                           {},
	} {
		if port, subset, host := ClusterParts(name); port != want.port || subset != want.subset || host != want.host {
			t.Errorf("%s: %d %q %q", name, port, subset, host)
		}
	}
}
