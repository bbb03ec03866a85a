package semantics

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	networking "istio.io/api/networking/v1alpha3"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/pilot/validate"
	"github.com/pilothouse-mesh/pilothouse/test/translate"
)

// meta is what decides who sees an object, and which of several comes first.
type meta struct {
	namespace, name string
	born            int // the smaller, the older; objects may be born at one time
}

func (m meta) key() string { return m.namespace + "/" + m.name }

// older orders objects as Istio does: by their age, then by name, then by namespace.
func older(a, b meta) int {
	return cmp.Or(cmp.Compare(a.born, b.born), cmp.Compare(a.name, b.name), cmp.Compare(a.namespace, b.namespace))
}

// virtualService, gateway and sidecar are objects of Istio's with their metadata.
type (
	virtualService struct {
		meta
		*networking.VirtualService
	}
	gateway struct {
		meta
		*networking.Gateway
	}
	sidecar struct {
		meta
		*networking.Sidecar
	}
)

// service is one that the mesh has, with the protocols of its ports: http, tcp or tls.
type service struct {
	host, namespace, address string // address is "" for one without
	ports                    map[uint32]string
}

// services are those of world.yaml and of moreServices.
func services() []*service {
	of := func(name, namespace, address string, ports map[uint32]string) *service {
		return &service{name + "." + namespace + ".svc.cluster.local", namespace, address, ports}
	}
	return []*service{
		of("reviews", "default", "10.96.0.2", map[uint32]string{9080: "http"}),
		of("ratings", "default", "10.96.0.3", map[uint32]string{9080: "http"}),
		of("details", "default", "10.96.0.4", map[uint32]string{9080: "http"}),
		of("db", "default", "10.96.0.5", map[uint32]string{5432: "tcp"}),
		of("legacy", "default", "10.96.0.6", map[uint32]string{8000: "http"}),
		of("web", "other", "10.96.1.2", map[uint32]string{80: "http"}),
		of("shop", "default", "10.96.7.1", map[uint32]string{80: "http", 9080: "http", 443: "tls", 6000: "tcp"}),
		of("pay", "other", "10.96.7.2", map[uint32]string{9080: "http", 443: "tls", 6000: "tcp"}),
		{"api.example.com", "default", "198.51.100.1", map[uint32]string{80: "http", 443: "tls"}},
		{"*.wild.example.com", "default", "", map[uint32]string{443: "tls"}},
	}
}

// external tells whether a service is not of the mesh.
func (s *service) external() bool { return !strings.HasSuffix(s.host, ".svc.cluster.local") }

// subsets gives those that a service has, by world.yaml, and "" for all of it.
func (s *service) subsets() []string {
	if s.host == reviewsHost {
		return []string{"", "v1", "v2", "v3"}
	}
	return []string{""}
}

const moreServices = `
---
{apiVersion: v1, kind: Service, metadata: {name: shop, namespace: default}, spec: {clusterIP: 10.96.7.1, selector: {app: details}, ports: [{name: http, port: 80}, {name: http-b, port: 9080}, {name: tls, port: 443}, {name: tcp, port: 6000}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: pay, namespace: other}, spec: {clusterIP: 10.96.7.2, selector: {app: web}, ports: [{name: http, port: 9080}, {name: tls, port: 443}, {name: tcp, port: 6000}]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: api, namespace: default}, spec: {hosts: [api.example.com], addresses: [198.51.100.1], location: MESH_EXTERNAL, resolution: STATIC, endpoints: [{address: 192.0.2.1}],
  ports: [{number: 80, name: http, protocol: HTTP}, {number: 443, name: tls, protocol: TLS}]}}
---
{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: wild, namespace: default}, spec: {hosts: ["*.wild.example.com"], location: MESH_EXTERNAL, resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}}
---
{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: {name: all, namespace: istio-system}, spec: {jwtRules: [{issuer: me}]}}
`

// worldFile has the services, pods and proxies that traffic cases have as well.
const worldFile = "../traffic/testdata/world.yaml"

// named gives the service of a host, nil for none.
func named(host string) *service {
	for _, s := range services() {
		if s.host == host {
			return s
		}
	}
	return nil
}

// client is who asks: a sidecar, or the gateway.
type client struct {
	proxy            string
	namespace, label string
	gateway          bool
}

func clients() []*client {
	return []*client{
		{proxy: "client", namespace: "default", label: "client"},
		{proxy: "other", namespace: "other", label: "other"},
		{proxy: "gateway", namespace: rootNamespace, gateway: true},
	}
}

const rootNamespace = "istio-system"

// gatewayAddress is the gateway's own.
const gatewayAddress = "10.3.0.1"

// carries tells whether the client has the labels.
func (c *client) carries(labels map[string]string) bool {
	for name, value := range labels {
		if name != "app" || value != c.label {
			return false
		}
	}
	return true
}

// translated gives what Explain has to read of the client's proxy.
func (c *client) translated(snapshot *store.Snapshot) *explain.Config {
	p := &translate.Proxy{Name: c.proxy, Namespace: c.namespace, IPs: []string{gatewayAddress}, Labels: map[string]string{"app": c.label}}
	if c.gateway {
		p.Type, p.Labels = model.RouterProxy, map[string]string{"istio": "ingressgateway"}
	}
	return explained(translate.Build(snapshot, p.Model()))
}

// explained gives what Explain has to read of resources.
func explained(res translate.Resources) *explain.Config {
	var all []proto.Message
	for _, kind := range res.ByType {
		for _, r := range kind {
			all = append(all, r.Body)
		}
	}
	return explain.NewConfig(all)
}

// mesh is one random mesh of rules.
type mesh struct {
	rules    []*virtualService // and delegates
	gateways []*gateway
	sidecars []*sidecar
}

// text gives its objects, a line each.
func (m *mesh) text() string {
	var b strings.Builder
	print := func(kind string, of meta, spec proto.Message) {
		data, err := protojson.Marshal(spec)
		if err != nil {
			panic(err) // nothing that a generator makes is without a form in JSON
		}
		fmt.Fprintf(&b, "---\n{\"apiVersion\": \"networking.istio.io/v1\", \"kind\": %q, \"metadata\": {\"name\": %q, \"namespace\": %q, \"creationTimestamp\": \"2020-01-01T00:%02d:00Z\"}, \"spec\": %s}\n", kind, of.name, of.namespace, of.born, data)
	}
	for _, v := range m.rules {
		print("VirtualService", v.meta, v.VirtualService)
	}
	for _, g := range m.gateways {
		print("Gateway", g.meta, g.Gateway)
	}
	for _, s := range m.sidecars {
		print("Sidecar", s.meta, s.Sidecar)
	}
	return b.String()
}

// objects decodes the mesh with the services around it; what validation refuses is a fault of the generator.
func (m *mesh) objects(t *testing.T) []*model.Object {
	t.Helper()
	world, err := os.ReadFile(worldFile)
	if err != nil {
		t.Fatal(err)
	}
	objects, problems := file.Decode([]byte(string(world)+moreServices+m.text()), "input.yaml")
	for _, o := range objects {
		problems = append(problems, validate.Object(o)...)
	}
	problems = slices.DeleteFunc(problems, func(p model.Problem) bool { return p.Severity != model.SeverityError })
	if len(problems) > 0 {
		t.Fatalf("%v\n%s", problems, m.text())
	}
	return objects
}
