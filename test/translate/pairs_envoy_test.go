package translate

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// pairEnvoy is one Envoy in the place of many proxies. What each has is there under names of its own.
type pairEnvoy struct {
	res        Resources
	clusters   map[string]int // where those lead that all proxies have alike
	bound      map[string][]*core.Address
	led        map[string]*owned
	identities map[string]bool
}

// owned is what a proxy has for itself.
type owned struct {
	identity  string
	at        string              // where it listens
	listeners map[string][]uint32 // those that serve, with their ports
	from      string              // where it connects from, "" for anywhere
	to        string              // where its own clusters lead
	leads     map[string]uint32   // and to which ports
}

func newPairEnvoy(clusters map[string]int) *pairEnvoy {
	return &pairEnvoy{
		res: Resources{ByType: map[string][]Resource{}}, clusters: clusters,
		bound: map[string][]*core.Address{}, led: map[string]*owned{}, identities: map[string]bool{},
	}
}

// take adds a proxy.
func (e *pairEnvoy) take(t *testing.T, res Resources, o *owned) {
	t.Helper()
	e.identities[o.identity] = true
	for _, l := range inlined(t, res) {
		if ports := o.listeners[l.Name]; len(ports) > 0 {
			l = renamed(t, l, o)
			l.Name += " of " + o.at
			for _, port := range ports {
				e.bound[l.Name] = append(e.bound[l.Name], addressAt(o.at, port))
			}
			e.add("listeners", l.Name, l)
		}
	}
	for _, r := range res.ByType["clusters"] {
		cl := r.Body.(*clusterv3.Cluster)
		_, shared := e.clusters[cl.Name]
		if shared = shared || strings.HasPrefix(cl.Name, "inbound|"); !shared && o.leads[cl.Name] == 0 || shared && e.has(cl.Name) {
			continue
		}
		if !shared {
			cl = renamed(t, cl, o)
			e.led[cl.Name] = o
		}
		e.add("clusters", cl.Name, cl)
	}
	for _, r := range res.ByType["endpoints"] {
		if o.leads[r.Name] != 0 {
			a := renamed(t, r.Body.(*endpointv3.ClusterLoadAssignment), o)
			e.add("endpoints", a.ClusterName, a)
		}
	}
}

func (e *pairEnvoy) add(kind, name string, m proto.Message) {
	e.res.ByType[kind] = append(e.res.ByType[kind], Resource{name, m})
}

func (e *pairEnvoy) has(cluster string) bool {
	return slices.ContainsFunc(e.res.ByType["clusters"], func(r Resource) bool { return r.Name == cluster })
}

// name is that of a proxy's own cluster.
func (o *owned) name(cluster string) string { return cluster + " of " + o.at }

// renamed gives a copy that asks for the proxy's own certificate and has the names of its own clusters.
func renamed[M proto.Message](t *testing.T, m M, o *owned) M {
	t.Helper()
	data, err := protojson.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var compact bytes.Buffer // where names are found, as spaces are at random
	if err := json.Compact(&compact, data); err != nil {
		t.Fatal(err)
	}
	names := []string{`"name":"default"`, `"name":"` + o.identity + `"`}
	for cluster := range o.leads {
		names = append(names, `"`+cluster+`"`, `"`+o.name(cluster)+`"`)
	}
	out := m.ProtoReflect().New().Interface()
	if err := protojson.Unmarshal([]byte(strings.NewReplacer(names...).Replace(compact.String())), out); err != nil {
		t.Fatal(err)
	}
	return out.(M)
}

// start runs the Envoy.
func (e *pairEnvoy) start(t *testing.T, secrets *envoytest.Secrets, app string) {
	t.Helper()
	c := hopConfig{res: e.res, listeners: map[string][]int{}, clusters: maps.Clone(e.clusters)}
	c.workload = telemetry.WorkloadOf(app, "shop", "Kubernetes", map[string]string{"app": app})
	c.secrets = envoytest.NewGate(t, "", secrets.Each(t, slices.Sorted(maps.Keys(e.identities)))).Socket
	for name, at := range e.bound {
		c.listeners[name] = []int{int(at[0].GetSocketAddress().GetPortValue())}
	}
	for name := range e.led {
		c.clusters[name] = 0
	}
	c.edit = func(l *listenerv3.Listener) {
		l.Address = e.bound[l.Name][0]
		for _, a := range e.bound[l.Name][1:] {
			l.AdditionalAddresses = append(l.AdditionalAddresses, &listenerv3.AdditionalAddress{Address: a})
		}
	}
	c.lead = func(cl *clusterv3.Cluster) {
		o := e.led[cl.Name]
		if o == nil {
			return
		}
		for cluster, port := range o.leads {
			if o.name(cluster) == cl.Name {
				cl.LoadAssignment.Endpoints[0].LbEndpoints[0].GetEndpoint().Address = addressAt(o.to, port)
			}
		}
		if o.from != "" { // which is its pod's address
			cl.UpstreamBindConfig = &core.BindConfig{SourceAddress: addressAt(o.from, 0).GetSocketAddress()}
		}
	}
	startHop(t, c)
}

func addressAt(ip string, port uint32) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{
		Address: ip, PortSpecifier: &core.SocketAddress_PortValue{PortValue: port},
	}}}
}
