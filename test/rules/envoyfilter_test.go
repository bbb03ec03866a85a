package rules

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

const (
	refusedCluster = `
{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: nack, namespace: ns}, spec: {configPatches: [
  {applyTo: CLUSTER, match: {context: SIDECAR_OUTBOUND, cluster: {service: s3.ns.svc.cluster.local, portNumber: 80}},
   patch: {operation: MERGE, value: {lb_policy: RING_HASH, ring_hash_lb_config: {minimum_ring_size: 200000, maximum_ring_size: 10}}}}]}}`
	refusedLua = `
{apiVersion: networking.istio.io/v1alpha3, kind: EnvoyFilter, metadata: {name: nack, namespace: ns}, spec: {configPatches: [
  {applyTo: HTTP_FILTER, match: {context: SIDECAR_OUTBOUND, listener: {portNumber: 80, filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}},
   patch: {operation: INSERT_FIRST, value: {name: bad.lua, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.lua.v3.Lua,
     defaultSourceCode: {inlineString: "function envoy_on_request(h"}}}}}]}}`
)

// filtered is a mesh with a real Envoy, into which a test puts an EnvoyFilter and takes it out again.
type filtered struct {
	*mesh
	feed    *storetest.Feed
	builder *build.Builder
}

func newFiltered(t *testing.T) *filtered {
	m := &filtered{newServer(t, nil), storetest.NewFeed(t, nil, decoded(t, plantedMesh(9))...), build.New(build.Options{})}
	m.edit()
	m.Envoy = envoytest.Run(t, envoytest.Config{Node: plantedSidecar, Gate: m.gate, Apart: true})
	m.eventually("Envoy runs everything", func() bool { return m.count(ack(resource.Listeners)) > 0 && len(m.lacks(nil)) == 0 })
	return m
}

func decoded(t *testing.T, yaml string) []*model.Object {
	t.Helper()
	objects, problems := file.Decode([]byte(yaml), "mesh.yaml")
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return objects
}

func (m *filtered) edit(objects ...*model.Object) {
	m.t.Helper()
	for _, c := range m.feed.Edit(objects...) {
		if err := m.engine.Apply(m.t.Context(), push.Built(m.builder, c)); err != nil {
			m.t.Fatal(err)
		}
	}
}

// blamed tells whether the EnvoyFilter's patch alone is reported, with what is served in place of what it made.
func (m *filtered) blamed(t *testing.T) {
	t.Helper()
	m.eventually("the refusal is reported", func() bool { return len(m.reported()) > 0 })
	for _, p := range m.reported() {
		if p.Object.Kind != model.KindEnvoyFilter || p.Field != "spec.configPatches[0]" || p.Origin.File != "mesh.yaml" || !strings.Contains(p.Message, "stays as it was accepted last") {
			t.Errorf("reported %v at %v", p, p.Origin)
		}
	}
}

// A listener that Envoy refuses for an EnvoyFilter goes on as it was accepted last.
func TestALuaTypoLeavesTheListenerAsItWas(t *testing.T) {
	t.Parallel()
	m := newFiltered(t)
	served := func() proto.Message {
		body, err := m.server.Connections()[0].View.Set(resource.Listeners).Get("0.0.0.0_80").Message()
		if err != nil {
			t.Error(err)
		}
		return body
	}
	was := served()
	m.edit(decoded(t, refusedLua)...)
	m.blamed(t)
	m.eventually("the listener is served as it was", func() bool { return proto.Equal(served(), was) })
	m.eventually("the listener is acknowledged", func() bool { return len(m.lacks(nil)) == 0 })
	state := func() xds.State { return m.server.Connections()[0].Types[resource.Listeners].State }
	if got := state(); got != xds.StateError {
		t.Errorf("while it runs something else than the configuration yields, its state is %s", got)
	}
	m.edit(storetest.Object(model.KindEnvoyFilter, "ns", "nack", nil))
	m.eventually("the listeners are in step", func() bool { return state() == xds.StateSynced })
}

// A refused cluster that is taken out and put in again is refused and reported again: Envoy keeps it beside the former,
// and would take it for known.
func TestARefusedClusterThatComesAgainIsReportedAgain(t *testing.T) {
	t.Parallel()
	m := newFiltered(t)
	for range 2 {
		m.edit(decoded(t, refusedCluster)...)
		m.blamed(t)
		m.eventually("Envoy has the former for its own", func() bool {
			return !strings.Contains(m.Get("/config_dump?resource=dynamic_active_clusters"), "200000") && len(m.lacks(nil)) == 0
		})
		m.edit(storetest.Object(model.KindEnvoyFilter, "ns", "nack", nil))
		m.eventually("nothing is reported", func() bool { return len(m.reported()) == 0 })
	}
}
