package rules

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// plantedMesh is services with a VirtualService each, at most 1,000 of them, a pod with several ports, and a gateway.
func plantedMesh(services int) string {
	var b strings.Builder
	b.WriteString(`
{apiVersion: v1, kind: Pod, metadata: {name: pod, namespace: ns, labels: {app: pod}}, spec: {containers: []}, status: {podIP: 10.0.0.1, phase: Running}}
---
{apiVersion: v1, kind: Service, metadata: {name: pod, namespace: ns}, spec: {clusterIP: 10.96.0.9, selector: {app: pod},
  ports: [{name: http, port: 8000}, {name: http-b, port: 8001}, {name: tcp, port: 8002}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: gateway, namespace: ns, labels: {istio: gateway}}, spec: {containers: []}, status: {podIP: 10.0.0.2, phase: Running}}
---
{apiVersion: networking.istio.io/v1, kind: Gateway, metadata: {name: g, namespace: ns}, spec: {selector: {istio: gateway}, servers: [
  {port: {number: 8080, name: http, protocol: HTTP}, hosts: ["*"]}, {port: {number: 8081, name: other, protocol: HTTP}, hosts: ["*"]}]}}
`)
	for i := range services {
		fmt.Fprintf(&b, `---
{apiVersion: v1, kind: Service, metadata: {name: s%[1]d, namespace: ns}, spec: {clusterIP: 10.96.%[2]d.%[3]d, ports: [{name: http, port: 80}, {name: tcp, port: 9%[1]d}]}}
---
{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: v%[1]d, namespace: ns}, spec: {hosts: [s%[1]d, "v%[1]d.test"],
  gateways: [mesh, g], http: [{timeout: %[1]ds, route: [{destination: {host: s%[1]d, port: {number: 80}}}]}]}}
`, i, 1+i/250, i%250)
	}
	return b.String()
}

// planted is a translation in which a resource has a fault, whichever the test wants.
type planted struct {
	push.Translator
	advanced bool
	fault    func(r *resource.Resource) proto.Message
}

// Advance says that all may have changed since, as the test has another fault each time.
func (p *planted) Advance(ctx context.Context) (build.Work, error) {
	if p.advanced {
		return build.Work{All: true}, nil
	}
	p.advanced = true
	return p.Translator.Advance(ctx)
}

func (p *planted) Result(c *resolve.Class) build.Result {
	out := p.Translator.Result(c)
	for t, set := range out.Sets {
		var list []*resource.Resource
		for r := range set.All() {
			if m := p.fault(r); m != nil {
				var err error
				if r, err = resource.New(r.Type, r.Name, m); err != nil {
					panic(err)
				}
			}
			list = append(list, r)
		}
		out.Sets[t] = resource.NewSet(list...)
	}
	return out
}

// unknown is an extension that no Envoy has.
func unknown() *anypb.Any { return &anypb.Any{TypeUrl: "type.googleapis.com/nobody.has.This"} }

// spoil puts a fault into a chain or a virtual host.
func spoil(m proto.Message) {
	switch m := m.(type) {
	case *listenerv3.FilterChain:
		m.Filters = append([]*listenerv3.Filter{{Name: "nobody.has.this", ConfigType: &listenerv3.Filter_TypedConfig{TypedConfig: unknown()}}}, m.Filters...)
	case *routev3.VirtualHost:
		m.Routes = append([]*routev3.Route{{
			Match:  &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: &matcherv3.RegexMatcher{Regex: "("}}},
			Action: &routev3.Route_DirectResponse{DirectResponse: &routev3.DirectResponseAction{Status: 200}},
		}}, m.Routes...)
	}
}

// plantedFault is what is spoilt, and what Envoy does without then.
type plantedFault struct {
	node  string
	typ   resource.Type
	name  string
	spoil func(m proto.Message)
	parts []string // that are at fault; none where it is the resource
	idle  string   // what Envoy does not ask for then
}

const (
	plantedSidecar = "sidecar~10.0.0.1~pod.ns~ns.svc.cluster.local"
	plantedGateway = "router~10.0.0.2~gateway.ns~ns.svc.cluster.local"
)

// plantedFaults are some for each kind of unit.
func plantedFaults() map[string]plantedFault {
	hosts := func(names ...string) func(proto.Message) {
		return func(m proto.Message) {
			for _, vh := range m.(*routev3.RouteConfiguration).GetVirtualHosts() {
				if slices.Contains(names, vh.GetName()) {
					spoil(vh)
				}
			}
		}
	}
	chains := func(names ...string) func(proto.Message) {
		return func(m proto.Message) {
			l := m.(*listenerv3.Listener)
			for _, c := range append(slices.Clone(l.GetFilterChains()), l.GetDefaultFilterChain()) {
				if c != nil && slices.Contains(names, c.GetName()) {
					spoil(c)
				}
			}
		}
	}
	const s3 = "s3.ns.svc.cluster.local:80"
	several := []string{"s0.ns.svc.cluster.local:80", s3, "s8.ns.svc.cluster.local:80"}
	return map[string]plantedFault{
		"virtual host of a sidecar":        {plantedSidecar, resource.Routes, "80", hosts(s3), []string{s3}, ""},
		"three virtual hosts of a sidecar": {plantedSidecar, resource.Routes, "80", hosts(several...), several, ""},
		"virtual host of a gateway":        {plantedGateway, resource.Routes, "http.8080", hosts("v2.test:8080"), []string{"v2.test:8080"}, ""},
		"inbound chain":                    {plantedSidecar, resource.Listeners, "virtualInbound", chains("0.0.0.0_8001"), []string{"0.0.0.0_8001"}, ""},
		"default chain":                    {plantedSidecar, resource.Listeners, "virtualOutbound", chains("virtualOutbound-catchall-tcp"), []string{"virtualOutbound-catchall-tcp"}, ""},
		"listener of a service":            {plantedSidecar, resource.Listeners, "10.96.1.3_93", spoilListener, nil, ""},
		"chain of a gateway":               {plantedGateway, resource.Listeners, "0.0.0.0_8080", func(m proto.Message) { spoil(m.(*listenerv3.Listener).GetFilterChains()[0]) }, []string{"*"}, "rds http.8080"},
		"cluster": {plantedSidecar, resource.Clusters, "outbound|80||s3.ns.svc.cluster.local", func(m proto.Message) {
			m.(*clusterv3.Cluster).TypedExtensionProtocolOptions = map[string]*anypb.Any{"nobody.has.this": unknown()}
		}, nil, ""},
		"endpoints": {plantedSidecar, resource.Endpoints, "outbound|80||s3.ns.svc.cluster.local", func(m proto.Message) {
			m.(*endpointv3.ClusterLoadAssignment).Endpoints = []*endpointv3.LocalityLbEndpoints{{LbEndpoints: []*endpointv3.LbEndpoint{{
				HostIdentifier: &endpointv3.LbEndpoint_Endpoint{Endpoint: &endpointv3.Endpoint{Address: &corev3.Address{Address: &corev3.Address_SocketAddress{
					SocketAddress: &corev3.SocketAddress{Address: "no address", PortSpecifier: &corev3.SocketAddress_PortValue{PortValue: 1}},
				}}}},
			}}}}
		}, nil, ""},
	}
}

// spoilListener puts a fault into what all chains of a listener have in common.
func spoilListener(m proto.Message) {
	l := m.(*listenerv3.Listener)
	l.ListenerFilters = append(l.ListenerFilters, &listenerv3.ListenerFilter{
		Name: "nobody.has.this", ConfigType: &listenerv3.ListenerFilter_TypedConfig{TypedConfig: unknown()},
	})
}

// A real Envoy that refuses a part of a translation is served all the rest of it, whether it runs already or
// starts with the fault, and the part alone is blamed.
func TestAPlantedFaultHarmsItsUnitAlone(t *testing.T) {
	for name, f := range plantedFaults() {
		for _, starts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, starts with it: %v", name, starts), func(t *testing.T) {
				t.Parallel()
				plant(t, f, starts, 9)
			})
		}
	}
}

// So it is in a route configuration of many virtual hosts, where finding the faults takes some rounds.
func TestAPlantedFaultAmongManyHarmsItsUnitAlone(t *testing.T) {
	for _, name := range []string{"three virtual hosts of a sidecar", "virtual host of a gateway"} {
		for _, starts := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, starts with it: %v", name, starts), func(t *testing.T) {
				plant(t, plantedFaults()[name], starts, 200)
			})
		}
	}
}

func plant(t *testing.T, f plantedFault, starts bool, services int) {
	objects, problems := file.Decode([]byte(plantedMesh(services)), "mesh.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	m := newServer(t, nil)
	mesh := &planted{fault: func(*resource.Resource) proto.Message { return nil }}
	commits := storetest.NewFeed(t, nil, objects...).Edit()
	mesh.Translator = push.Built(build.New(build.Options{}), commits[len(commits)-1]).Translator
	apply := func() {
		t.Helper()
		if err := m.engine.Apply(t.Context(), push.Commit{Translator: mesh, Since: time.Now()}); err != nil {
			t.Fatal(err)
		}
	}
	run := func() {
		m.Envoy = envoytest.Run(t, envoytest.Config{Node: f.node, Gate: m.gate, Apart: true})
		m.eventually("Envoy has listeners", func() bool { return m.count(ack(resource.Listeners)) > 0 })
	}
	apply()
	if !starts {
		run()
		m.eventually("Envoy runs everything", func() bool { return len(m.lacks(nil)) == 0 })
	}
	spoilt := 0
	mesh.fault = func(r *resource.Resource) proto.Message {
		if r.Type != f.typ || r.Name != f.name {
			return nil
		}
		body, err := r.Message()
		if err != nil {
			t.Error(err)
		}
		f.spoil(body)
		spoilt++
		return body
	}
	begun := time.Now()
	apply()
	if starts {
		run()
	}
	m.eventually("the fault is reported", func() bool { return len(m.reported()) > 0 })
	m.eventually("Envoy runs everything else", func() bool { return len(m.lacks(&f)) == 0 })
	t.Logf("found %s after the change, Envoy's start included where it starts with it", time.Since(begun).Round(time.Millisecond))
	if spoilt == 0 {
		t.Fatal("there is nothing of that name")
	}
	m.blames(t, f)
}

// lacks lists what Envoy does not run of what was built, but for the fault.
func (m *mesh) lacks(f *plantedFault) []string {
	all := m.server.Connections()
	if len(all) != 1 {
		return []string{"its stream"}
	}
	held := map[*resource.Resource]bool{}
	for r := range all[0].Held() {
		held[r] = true
	}
	var out []string
	for t := range resource.NameTables {
		for r := range all[0].View.Set(t).All() {
			if f != nil && (len(f.parts) == 0 && r.Name == f.name || r.Type.String()+" "+r.Name == f.idle) {
				continue
			}
			if !held[r] || !r.Accepted() {
				out = append(out, r.Type.String()+" "+r.Name)
			}
		}
	}
	return out
}

// blames asserts that the fault alone is reported, and that all other parts of its resource are served.
func (m *mesh) blames(t *testing.T, f plantedFault) {
	t.Helper()
	all := m.reported()
	if len(all) != max(1, len(f.parts)) {
		t.Errorf("reported %v", all)
	}
	for _, p := range all {
		if !strings.Contains(p.Message, f.name) {
			t.Errorf("reported %v", p)
		}
		if f.typ == resource.Routes && !slices.ContainsFunc(f.parts, func(host string) bool { return p.Object.Name == "v"+host[1:2] }) {
			t.Errorf("%v is blamed", p.Object)
		}
	}
	if len(f.parts) == 0 {
		return
	}
	served := m.server.Connections()[0].View.Set(f.typ).Get(f.name).Parts()
	spoilt, denying := 0, 0
	for i := range served.Len() {
		name := served.Name(i)
		text := served.Message(i).(fmt.Stringer).String()
		if strings.Contains(text, "nobody.has") || strings.Contains(text, `regex:"("`) {
			spoilt++
		}
		if slices.Contains(f.parts, name) || f.parts[0] == "*" {
			denying++
		}
	}
	if spoilt > 0 || denying < len(f.parts) {
		t.Errorf("%d faults are served, %d of %d parts have something in their place", spoilt, denying, len(f.parts))
	}
}
