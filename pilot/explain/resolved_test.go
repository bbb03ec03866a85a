package explain

import (
	"net/netip"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	"google.golang.org/protobuf/encoding/protojson"
)

// Of a cluster that Envoy resolves itself only what it has resolved gets requests.
func TestNamesThatEnvoyHasNotResolved(t *testing.T) {
	const socket = `{"endpoint": {"address": {"socket_address": {"address": %q, "port_value": 80}}}}`
	one := func(name string) string { return strings.ReplaceAll(socket, "%q", `"`+name+`"`) }
	const ejected = `{"hostname": "a.test", "address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}, "health_status": {"failed_outlier_check": true, "eds_health_status": "HEALTHY"}}`
	const well = `{"hostname": "b.test", "address": {"socket_address": {"address": "10.0.0.2", "port_value": 80}}, "health_status": {"eds_health_status": "HEALTHY"}}`
	for name, c := range map[string]struct {
		kind, endpoints, hosts, reason string
		usable                         int
	}{
		"nothing":             {"STRICT_DNS", one("a.test"), "", "Envoy has resolved a.test to no address", 0},
		"nothing, one server": {"LOGICAL_DNS", one("a.test"), "", "Envoy has resolved a.test to no address", 0},
		"one of two":          {"STRICT_DNS", one("a.test") + "," + one("b.test"), well, "", 1},
		"ejected":             {"STRICT_DNS", one("a.test"), ejected, "no healthy endpoint", 0},
		"one of two ejected":  {"STRICT_DNS", one("a.test") + "," + one("b.test"), ejected + "," + well, "", 1},
		"an address":          {"STRICT_DNS", one("10.0.0.2"), well, "", 1},
		"one server":          {"LOGICAL_DNS", one("b.test"), well, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			m := &clusterv3.Cluster{}
			text := `{"name": "c", "type": "` + c.kind + `", "load_assignment": {"endpoints": [{"lb_endpoints": [` + c.endpoints + `]}]}}`
			if err := protojson.Unmarshal([]byte(text), m); err != nil {
				t.Fatal(err)
			}
			servers, err := ParseClusters([]byte(`{"cluster_statuses": [{"name": "c", "unknown": 1, "host_statuses": [` + c.hosts + `]}]}`))
			if err != nil {
				t.Fatal(err)
			}
			w := &walk{
				Config: &Config{Clusters: map[string]*clusterv3.Cluster{"c": m}, Resolved: servers}, answer: &Answer{},
				request: Request{Way: Outbound, Destination: netip.MustParseAddrPort("10.9.9.9:80"), Protocol: TCP},
			}
			w.forward(&Forward{Clusters: []Cluster{{Name: "c", Percent: 100}}}, false)
			got, usable := w.answer.Outcome.Forward.Clusters[0], 0
			for _, e := range got.Endpoints {
				if e.Percent > 0 {
					usable++
				}
			}
			if usable != c.usable || !strings.Contains(got.Reason, c.reason) || (got.Reason == "") != (c.reason == "") {
				t.Errorf("%d servers may get it, want %d: %q", usable, c.usable, got.Reason)
			}
		})
	}
}
