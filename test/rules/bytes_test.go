package rules

import (
	"fmt"
	"slices"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// volatile is a service with a rule, of which only what changes with every write is another.
const volatile = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: ns, generation: %[1]d, resourceVersion: "%[1]d", annotations: {written: "%[1]d"}}
spec: {clusterIP: 10.96.0.1, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: web, namespace: ns, generation: %[1]d, resourceVersion: "%[1]d"}
spec: {host: web, trafficPolicy: {tls: {mode: DISABLE}}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: web-1, namespace: ns, resourceVersion: "%[1]d", labels: {kubernetes.io/service-name: web}}
addressType: IPv4
endpoints: [{addresses: [127.0.0.1]}]
ports: [{name: http, port: %[2]d}]
`

// stamped puts a time into a resource's metadata.
func stamped(m xdstest.Message, now int) xdstest.Message {
	meta := &corev3.Metadata{FilterMetadata: map[string]*structpb.Struct{
		"written": {Fields: map[string]*structpb.Value{"at": structpb.NewNumberValue(float64(now))}},
	}}
	m.Body = proto.Clone(m.Body)
	switch b := m.Body.(type) {
	case *clusterv3.Cluster:
		b.Metadata = meta
	case *listenerv3.Listener:
		b.Metadata = meta
	}
	return m
}

func TestRule12NothingVolatileIsInAResource(t *testing.T) {
	t.Parallel()
	const name = "outbound|80||web.ns.svc.cluster.local"
	port, backend := envoytest.FreePort(t), envoytest.Backend(t, "web")
	front := []xdstest.Message{listener("http", port, "r", "x"), xdstest.Route("r", name)}
	written := func(n int) []xdstest.Message {
		return append(translated(t, fmt.Sprintf(volatile, n, backend)), front...)
	}
	m := warmed(t, written(1)...)
	load := startLoad(t, port)
	m.eventually("requests are answered", from(load, "web"))
	m.set(written(2)...)
	m.barrier()
	if m.count(response(resource.Clusters, name))+m.count(response(resource.Endpoints))+m.count(response(resource.Listeners)) != 0 {
		t.Error("something was sent")
	}
	connections := func() int { return m.Stat("cluster." + name + ";.upstream_cx_total") }
	if n := connections(); n != 1 {
		t.Errorf("%d connections to the backend", n)
	}

	// Without the rule: the connection pool is lost, and the listener's connections drain.
	changed := slices.Clone(m.messages)
	for i, msg := range changed {
		if msg.Name == name && msg.Type == resource.Clusters || msg.Name == "http" {
			changed[i] = stamped(msg, 1)
		}
	}
	m.set(changed...)
	m.eventually("there is another connection to the backend", func() bool { return connections() > 1 })
	m.eventually("connections of clients drain", func() bool { return m.Stat("http.x.downstream_cx_drain_close") > 0 })
	unfailing(t, load)
}
