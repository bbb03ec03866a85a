package endpoint_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/pilothouse-mesh/pilothouse/pilot/endpoint"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

const service = `
apiVersion: v1
kind: Service
metadata: {name: a, namespace: default}
spec: {clusterIP: 10.96.0.1, selector: {app: a}, %s ports: [{name: http, port: 80, targetPort: 8080}, {name: admin, port: 81}]}
`

// slice makes an EndpointSlice's endpoint list for the service's port http.
func slice(endpoints string) string {
	return `
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: a-1, namespace: default, labels: {kubernetes.io/service-name: a}}
addressType: IPv4
ports: [{name: http, port: 8080, protocol: TCP}]
endpoints: [` + endpoints + `]
`
}

func pod(name, ip, labels string) string {
	return fmt.Sprintf(`
---
apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: default, labels: {app: a, %s}}
spec: {containers: [{name: app, image: x}]}
status: {podIP: %s, phase: Running, conditions: [{type: Ready, status: "True"}]}
`, name, labels, ip)
}

func read(t *testing.T, documents string) resolve.Reader {
	t.Helper()
	objects, problems := file.Decode([]byte(documents), "test.yaml")
	for _, p := range problems {
		t.Fatalf("the test's own YAML: %s", p)
	}
	return store.FromObjects(objects, store.Options{}).Reader(nil)
}

// cluster is the one for port http of the service, or of a subset.
func cluster(labels map[string]string) *ir.Cluster {
	return &ir.Cluster{Name: "outbound|80||a", Endpoints: &ir.EndpointSet{
		Namespace: "default", Host: "a.default.svc.cluster.local", Port: 80, PortName: "http", Labels: labels,
	}}
}

// hosts gives the addresses of an assignment, by locality.
func hosts(a *ir.LoadAssignment) []string {
	var out []string
	for _, l := range a.Localities {
		for _, e := range l.Endpoints {
			out = append(out, fmt.Sprintf("%s:%d", e.Address, e.Port))
		}
	}
	return out
}

func TestAssignmentTakesThoseThatServe(t *testing.T) {
	unready := `{addresses: [10.0.0.1], conditions: {ready: true}}, {addresses: [10.0.0.2], conditions: {ready: false}}`
	mixed := slice(unready + `, {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}}`)
	for name, c := range map[string]struct {
		input  string
		class  resolve.Class
		labels map[string]string
		want   []string
	}{
		"no service is no host":     {"", resolve.Class{}, nil, nil},
		"no endpoint is no host":    {fmt.Sprintf(service, ""), resolve.Class{}, nil, nil},
		"ready ones only":           {fmt.Sprintf(service, "") + mixed, resolve.Class{}, nil, []string{"10.0.0.1:8080"}},
		"unready ones if published": {fmt.Sprintf(service, "publishNotReadyAddresses: true,") + slice(unready), resolve.Class{}, nil, []string{"10.0.0.1:8080", "10.0.0.2:8080"}},
		"the labels of a subset": {
			fmt.Sprintf(service, "") + pod("a-0", "10.0.0.1", "version: v1") + pod("a-1", "10.0.0.2", "version: v2"),
			resolve.Class{},
			map[string]string{"version": "v2"},
			[]string{"10.0.0.2:8080"},
		},
		"the proxy's own IP family": {fmt.Sprintf(service, "") + mixed, resolve.Class{IPv6: true}, nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			c.class.Namespace = "default"
			a := endpoint.Assignment(read(t, c.input), &c.class, cluster(c.labels))
			if a.Cluster != "outbound|80||a" || !slices.Equal(hosts(a), c.want) {
				t.Errorf("%s: hosts %v, want %v", a.Cluster, hosts(a), c.want)
			}
		})
	}
}

// TestAssignmentTellsWhatIsNotReady has an endpoint in every state. What leaves does not count among what is unhealthy,
// whether it still serves or not: it is gone on purpose.
func TestAssignmentTellsWhatIsNotReady(t *testing.T) {
	r := read(t, fmt.Sprintf(service, "")+slice(`{addresses: [10.0.0.1]}, {addresses: [10.0.0.2], conditions: {ready: false}},
  {addresses: [10.0.0.3], conditions: {ready: false, serving: true, terminating: true}},
  {addresses: [10.0.0.4], conditions: {ready: false, serving: false, terminating: true}}`))
	cl := cluster(nil)
	cl.Endpoints.Unready = true
	got := map[string]bool{}
	for _, e := range endpoint.Assignment(r, &resolve.Class{Namespace: "default"}, cl).Localities[0].Endpoints {
		got[e.Address] = e.Unhealthy
	}
	if diff := cmp.Diff(map[string]bool{"10.0.0.1": false, "10.0.0.2": true}, got); diff != "" {
		t.Errorf("unhealthy hosts (-want +got):\n%s", diff)
	}
}

func TestEndpointTellsItsTLSModeAndWorkload(t *testing.T) {
	r := read(t, fmt.Sprintf(service, "")+
		pod("a-0", "10.0.0.1", "security.istio.io/tlsMode: istio, service.istio.io/canonical-name: canon, version: v1")+
		pod("a-1", "10.0.0.2", "version: latest")+`
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: plain, namespace: default}
spec: {selector: {matchLabels: {app: a}}, portLevelMtls: {81: {mode: DISABLE}}}
`)
	class := &resolve.Class{Namespace: "default", ClusterID: "Kubernetes"}
	auto := cluster(nil)
	auto.AutoTLS = true
	got := endpoint.Assignment(r, class, auto).Localities[0].Endpoints
	want := []ir.Endpoint{
		{Address: "10.0.0.1", Port: 8080, Weight: 1, Workload: "a-0;default;canon;v1;;a;v1"},
		{Address: "10.0.0.2", Port: 8080, Weight: 1, Plaintext: true, Workload: "a-1;default;a;;;a;latest"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	admin := cluster(nil)
	admin.AutoTLS, admin.Endpoints.Port, admin.Endpoints.PortName = true, 81, "admin"
	for _, e := range endpoint.Assignment(r, class, admin).Localities[0].Endpoints {
		if !e.Plaintext {
			t.Errorf("%s takes plaintext only on this port, and is not marked", e.Address)
		}
	}
	for _, e := range endpoint.Assignment(r, class, cluster(nil)).Localities[0].Endpoints {
		if e.Plaintext {
			t.Errorf("%s is marked for a cluster whose TLS is not automatic", e.Address)
		}
	}
}

// twoClusters are pods of a service in the control plane's own cluster and in one called far.
func twoClusters(t *testing.T) resolve.Reader {
	t.Helper()
	near, problems := file.Decode([]byte(fmt.Sprintf(service, "")+pod("a-0", "10.0.0.1", "v: x")), "near.yaml")
	far, more := file.Decode([]byte(fmt.Sprintf(service, "")+pod("a-0", "10.9.0.1", "v: x")), "far.yaml")
	if len(problems)+len(more) > 0 {
		t.Fatal(problems, more)
	}
	for _, o := range far {
		o.Cluster = "far"
	}
	return store.FromObjects(append(near, far...), store.Options{Cluster: "near"}).Reader(nil)
}

// Clients of a service that is local to its clusters get the endpoints of their own, others all.
func TestEndpointsOfTheClientsCluster(t *testing.T) {
	for _, c := range []struct {
		about, client string
		local         bool
		want          []string
	}{
		{"a service of all clusters", "near", false, []string{"10.0.0.1:8080", "10.9.0.1:8080"}},
		{"a local one, in the control plane's cluster", "near", true, []string{"10.0.0.1:8080"}},
		{"for a proxy that names none, which is there", "", true, []string{"10.0.0.1:8080"}},
		{"in the other", "far", true, []string{"10.9.0.1:8080"}},
		{"for one of a name that no cluster has, which is of the control plane's", "former", true, []string{"10.0.0.1:8080"}},
	} {
		cl := cluster(nil)
		cl.Endpoints.ClusterLocal = c.local
		a := endpoint.Assignment(twoClusters(t), &resolve.Class{Namespace: "default", ClusterID: c.client}, cl)
		if !slices.Equal(hosts(a), c.want) {
			t.Errorf("%s: hosts %v, want %v", c.about, hosts(a), c.want)
		}
	}
}

// An endpoint of another cluster says which; that of the client's own is left out.
func TestEndpointNamesAnotherCluster(t *testing.T) {
	for client, want := range map[string]string{"near": "a-0;default;a;; a-0;default;a;;far", "far": "a-0;default;a;;near a-0;default;a;;"} {
		a := endpoint.Assignment(twoClusters(t), &resolve.Class{Namespace: "default", ClusterID: client}, cluster(nil))
		var got []string
		for _, e := range a.Localities[0].Endpoints {
			got = append(got, e.Workload)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("a client in %s: %q, want %q", client, strings.Join(got, " "), want)
		}
	}
}

func TestLocalities(t *testing.T) {
	input := fmt.Sprintf(service, "")
	for i, l := range []string{"eu.a.1", "eu.a.2", "eu.b", "us.a", "ap.a", "ap.b"} {
		input += pod(fmt.Sprintf("a-%d", i), fmt.Sprintf("10.0.0.%d", i+1), "istio-locality: "+l)
	}
	r := read(t, input)
	here := model.Locality{Region: "eu", Zone: "a", SubZone: "1"}
	for name, c := range map[string]struct {
		policy ir.LocalityPolicy
		proxy  model.Locality
		want   string // region/zone/subzone=priority:weight, in order
	}{
		"without a policy all are alike": {
			ir.LocalityPolicy{},
			here,
			"ap/a/=0:0 ap/b/=0:0 eu/a/1=0:0 eu/a/2=0:0 eu/b/=0:0 us/a/=0:0",
		},
		"failover by distance": {
			ir.LocalityPolicy{Failover: true},
			here,
			"eu/a/1=0:0 eu/a/2=1:0 eu/b/=2:0 ap/a/=3:0 ap/b/=3:0 us/a/=3:0",
		},
		"failover to a region": {
			ir.LocalityPolicy{Failover: true, To: []ir.FailoverRegion{{From: "eu", To: "us"}}},
			here,
			"eu/a/1=0:0 eu/a/2=1:0 eu/b/=2:0 us/a/=3:0 ap/a/=4:0 ap/b/=4:0",
		},
		"priorities have no gaps": {
			ir.LocalityPolicy{Failover: true},
			model.Locality{Region: "us", Zone: "z"},
			"us/a/=0:0 ap/a/=1:0 ap/b/=1:0 eu/a/1=1:0 eu/a/2=1:0 eu/b/=1:0",
		},
		"a proxy nowhere fails over nowhere": {
			ir.LocalityPolicy{Failover: true},
			model.Locality{},
			"ap/a/=0:0 ap/b/=0:0 eu/a/1=0:0 eu/a/2=0:0 eu/b/=0:0 us/a/=0:0",
		},
		"distribution": {
			ir.LocalityPolicy{Distribute: []ir.Distribution{
				{From: "us/*", To: []ir.LocalityShare{{Locality: "*", Percent: 100}}},
				{From: "eu/a/*", To: []ir.LocalityShare{{Locality: "ap/*", Percent: 20}, {Locality: "eu/a/1", Percent: 80}}},
			}},
			here,
			"ap/a/=0:10000 ap/b/=0:10000 eu/a/1=0:80000",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cl := cluster(nil)
			cl.Endpoints.Locality, cl.LocalityWeighted = c.policy, len(c.policy.Distribute) > 0
			var got []string
			for _, l := range endpoint.Assignment(r, &resolve.Class{Namespace: "default", Locality: c.proxy}, cl).Localities {
				got = append(got, fmt.Sprintf("%s/%s/%s=%d:%d", l.Region, l.Zone, l.SubZone, l.Priority, l.Weight))
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got  %s\nwant %s", strings.Join(got, " "), c.want)
			}
		})
	}
}

// Envoy keeps the first endpoint of an address. The others are not sent, so that a locality weighs what it has.
func TestAnAddressIsOneHost(t *testing.T) {
	r := read(t, `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: a, namespace: default}
spec:
  hosts: [a.default.svc.cluster.local]
  resolution: STATIC
  ports: [{number: 80, name: http, protocol: HTTP}]
  endpoints:
  - {address: 192.0.2.7, locality: r2, weight: 3}
  - {address: 192.0.2.7, locality: r2, weight: 9}
  - {address: 192.0.2.7, locality: r1}
  - {address: 192.0.2.7, locality: r1, ports: {http: 81}}
`)
	cl := cluster(nil)
	cl.LocalityWeighted = true
	var got []string
	for _, l := range endpoint.Assignment(r, &resolve.Class{}, cl).Localities {
		for _, e := range l.Endpoints {
			got = append(got, fmt.Sprintf("%s=%d %s:%d=%d", l.Region, l.Weight, e.Address, e.Port, e.Weight))
		}
	}
	if want := []string{"r1=1 192.0.2.7:81=1", "r2=3 192.0.2.7:80=3"}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}
