package translate

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const edgeYAML = servicesYAML + `
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: away, namespace: default}
spec:
  hosts: [away.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 9080, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: machine, namespace: default}
spec:
  hosts: [machine.example.com]
  location: MESH_INTERNAL
  resolution: DNS
  ports: [{number: 9080, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: asked, namespace: default}
spec:
  hosts: ["*.asked.example.com"]
  location: MESH_EXTERNAL
  resolution: DYNAMIC_DNS
  ports: [{number: 9080, name: http, protocol: HTTP}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: default}
spec:
  hosts: [reviews.default.svc.cluster.local, gateway.example.com]
  gateways: [mesh, istio-system/gw]
  http:
  - match: [{uri: {exact: /away}}]
    route: [{destination: {host: away.example.com}}]
  - match: [{uri: {exact: /split}}]
    route: [{destination: {host: away.example.com}, weight: 100}, {destination: {host: ratings}, weight: 0}]
  - match: [{uri: {exact: /copied}}]
    route: [{destination: {host: ratings}}]
    mirror: {host: away.example.com}
  - route: [{destination: {host: reviews}}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: gw, namespace: istio-system}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}]}
`

// foreignYAML is a pod of Istio's own.
const foreignYAML = `
---
apiVersion: v1
kind: Pod
metadata: {name: reviews-istio, namespace: default, labels: {app: reviews, security.istio.io/tlsMode: istio}}
spec: {containers: [{name: app, image: x}]}
status: {podIP: 10.0.1.9, phase: Running, conditions: [{type: Ready, status: "True"}]}
`

// Who a client is, its proxy tells servers of the mesh only, by whatever route a request leaves the mesh; and what
// comes from outside says nothing about it.
func TestPeersAreToldWithinTheMeshOnly(t *testing.T) {
	client := envoytest.FreePort(t)
	for name, c := range map[string]struct {
		objects  string
		proxy    Proxy
		listener string
		host     string            // of the VirtualService
		told     []string          // the headers that tell it
		requests map[string]string // by host, the cluster that it leads to
	}{
		"sidecar": {"", Proxy{}, "0.0.0.0_9080", "reviews:9080", []string{telemetry.ShortPeerHeader}, map[string]string{
			"away.example.com:9080": "outbound|9080||away.example.com", "machine.example.com:9080": "outbound|9080||machine.example.com",
			"x.asked.example.com:9080": "outbound|9080||*.asked.example.com", "nobody.knows.example.com:9080": model.PassthroughCluster,
		}},
		"sidecar beside one of Istio's": {foreignYAML, Proxy{}, "0.0.0.0_9080", "reviews:9080", []string{telemetry.PeerHeader, telemetry.ShortPeerHeader}, map[string]string{
			"machine.example.com:9080": "outbound|9080||machine.example.com", "nobody.knows.example.com:9080": model.PassthroughCluster,
		}},
		"sidecar in a mesh that counts no peers": {metricsOff + foreignYAML, Proxy{}, "0.0.0.0_9080", "reviews:9080", nil, map[string]string{
			"machine.example.com:9080": "outbound|9080||machine.example.com", "nobody.knows.example.com:9080": model.PassthroughCluster,
		}},
		"gateway": {"", ingress, "0.0.0.0_8080", "gateway.example.com", []string{telemetry.ShortPeerHeader}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			workload := telemetry.WorkloadOf("caller-v1", "default", "Kubernetes", map[string]string{"app": "caller"})
			workload.Principal = "spiffe://cluster.local/ns/default/sa/caller"
			long, err := workload.PeerHeaderValue()
			if err != nil {
				t.Fatal(err)
			}
			own, values := "", map[string]string{telemetry.PeerHeader: long, telemetry.ShortPeerHeader: workload.ShortPeerValue()}
			for _, header := range c.told {
				own += values[header]
			}
			h := startHop(t, hopConfig{
				res: translate(t, edgeYAML+c.objects, c.proxy), workload: workload, listeners: map[string][]int{c.listener: {client}},
				secrets: envoytest.NewGate(t, "", envoytest.NewSecrets(t)).Socket,
			})
			h.servers.addr = "127.0.0.1:" + strconv.Itoa(client)
			// ask sends a request that claims to be somebody's, and gives what servers are told, by cluster.
			ask := func(host, path string, servers int) map[string]string {
				told := map[string]string{}
				header := http.Header{telemetry.PeerHeader: {"forged"}, telemetry.ShortPeerHeader: {"forged"}, telemetry.PeerIDHeader: {"forged"}}
				if res, _ := h.servers.get(t, host, path, header); res.StatusCode != http.StatusOK {
					t.Errorf("%s%s: status %d", host, path, res.StatusCode)
					return nil
				}
				for range servers {
					a := <-h.servers.requests
					told[a.Cluster] = a.Header.Get(telemetry.PeerHeader) + a.Header.Get(telemetry.ShortPeerHeader) + a.Header.Get(telemetry.PeerIDHeader)
				}
				return told
			}
			for host, cluster := range c.requests {
				want := ""
				if cluster == "outbound|9080||machine.example.com" {
					want = own
				}
				if got, there := ask(host, "/", 1)[cluster]; !there || got != want {
					t.Errorf("%s is told %q (%v), want %q", cluster, got, there, want)
				}
			}
			const away = "outbound|9080||away.example.com"
			for path, want := range map[string]map[string]string{
				"/": {outbound("", "reviews"): own}, "/away": {away: ""}, "/split": {away: ""}, "/copied": {outbound("", "ratings"): own, away: ""},
			} {
				got := ask(c.host, path, len(want))
				for cluster, value := range want {
					if told, there := got[cluster]; !there || told != value {
						t.Errorf("%s: %s is told %q (%v), want %q", path, cluster, told, there, value)
					}
				}
			}
		})
	}
}
