package discovery

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const routed = `
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: first, namespace: default}
spec: {hosts: [first], http: [{route: [{destination: {host: first}}]}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: broken, namespace: default}
spec: {hosts: [first], http: [{rout: []}]}
`

const pod = `
---
apiVersion: v1
kind: Pod
metadata: {name: first-0, namespace: default, labels: {app: x}}
spec: {containers: [{name: a, image: a}]}
status: {phase: Running, podIP: 10.0.0.1, podIPs: [{ip: 10.0.0.1}], conditions: [{type: Ready, status: "True"}]}
`

// samples gives the values by name and labels; a histogram counts as often as it was observed.
func samples(t *testing.T, g prometheus.Gatherer) map[string]float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			var labels []string
			for _, l := range m.GetLabel() {
				labels = append(labels, l.GetName()+"="+l.GetValue())
			}
			name := f.GetName()
			if len(labels) > 0 {
				name += "{" + strings.Join(labels, ",") + "}"
			}
			out[name] = value(m)
		}
	}
	return out
}

func value(m *dto.Metric) float64 {
	if h := m.GetHistogram(); h != nil {
		return float64(h.GetSampleCount())
	}
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

// dashboards are what Istio's dashboards and Kiali read of a control plane, but for the metrics of
// the injection webhook, which there is none of yet. The figures are those after the traffic of the
// test; -1 stands for any above zero.
var dashboards = map[string]float64{
	"pilot_info{version=test}":                              1,
	"istio_build{component=pilot,tag=test}":                 1,
	"pilot_xds{version=1.31.0}":                             1,
	"pilot_services":                                        2,
	"pilot_virt_services":                                   1,
	"pilot_eds_no_instances":                                1, // second has another selector
	"pilot_conflict_inbound_listener":                       0,
	"pilot_push_views":                                      1,
	"pilot_push_queue_depth":                                0,
	"pilot_xds_pushes{type=cds}":                            -1,
	"pilot_xds_push_time{type=cds}":                         -1,
	"pilot_xds_config_size_bytes{type=cds}":                 -1,
	"pilot_xds_sent_bytes_total{type=cds}":                  -1,
	"pilot_total_xds_rejects{type=cds}":                     1,
	"pilot_total_xds_internal_errors":                       0,
	"pilot_proxy_convergence_time":                          -1,
	"pilot_push_triggers{type=global}":                      -1,
	"pilot_push_triggers{type=service}":                     -1,
	"pilot_inbound_updates{type=config}":                    1,
	"pilot_inbound_updates{type=svc}":                       4, // three added, one changed
	"pilot_inbound_updates{type=svcdelete}":                 1,
	"pilot_inbound_updates{type=eds}":                       -1,
	"pilot_k8s_cfg_events{event=add,type=VirtualService}":   1,
	"pilot_k8s_reg_events{event=add,type=Pods}":             1,
	"pilot_k8s_reg_events{event=add,type=Services}":         3,
	"pilot_k8s_reg_events{event=delete,type=Services}":      1,
	"citadel_server_csr_count":                              0,
	"citadel_server_success_cert_issuance_count":            0,
	"citadel_server_root_cert_expiry_timestamp":             -1,
	"citadel_server_cert_chain_expiry_timestamp":            -1,
	"go_goroutines":                                         -1,
	"process_resident_memory_bytes":                         -1,
	"pilot_conflict_outbound_listener_tcp_over_current_tcp": 0,
	"galley_validation_passed{group=networking.istio.io,resource=virtualservices,version=v1}":                         1,
	"galley_validation_failed{group=networking.istio.io,reason=invalid_resource,resource=virtualservices,version=v1}": 1,
}

func TestMetricsThatDashboardsRead(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", fmt.Sprintf(service, "first", 1)+routed+pod)
	cfg := testConfig(t, dir)
	p := newPlane(cfg)
	ctx := serve(t, p.run)
	envoytest.Eventually(t, "serving", p.serving.Load)
	client := connect(t, ctx, cfg.GRPCAddr)
	client.receive("")
	write(t, dir, "b.yaml", fmt.Sprintf(service, "second", 2))
	client.receive("")
	write(t, dir, "b.yaml", strings.Replace(fmt.Sprintf(service, "second", 2), "app: x", "app: y", 1)) // whose identities it loses
	client.receive("")
	write(t, dir, "c.yaml", fmt.Sprintf(service, "third", 3))
	client.receive("Error adding/updating cluster(s) outbound|80||third.default.svc.cluster.local: no")
	remove(t, filepath.Join(dir, "c.yaml"))
	settled := func() bool {
		got := samples(t, p.registry)
		return got["pilot_inbound_updates{type=svcdelete}"] == 1 && got["pilot_services"] == 2 && got["pilot_total_xds_rejects{type=cds}"] == 1
	}
	envoytest.Eventually(t, "all edits in", settled)
	got := samples(t, p.registry)
	for _, name := range slices.Sorted(maps.Keys(dashboards)) {
		switch v, ok := got[name]; {
		case !ok:
			t.Errorf("%s is missing", name)
		case dashboards[name] == -1 && v <= 0, dashboards[name] >= 0 && v != dashboards[name]:
			t.Errorf("%s: %v, want %v", name, v, dashboards[name])
		}
	}
	if t.Failed() {
		for _, name := range slices.Sorted(maps.Keys(got)) {
			t.Logf("%s %v", name, got[name])
		}
	}
}

// client is a proxy that watches clusters.
type client struct {
	t      *testing.T
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
}

func connect(t *testing.T, ctx context.Context, addr string) *client {
	t.Helper()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	node := &corev3.Node{Id: "sidecar~10.0.0.1~pod.default~default.svc.cluster.local", Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
		"ISTIO_VERSION": structpb.NewStringValue("1.31.0"),
	}}}
	if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: xdsres.Clusters.URL()}); err != nil {
		t.Fatal(err)
	}
	return &client{t, stream}
}

// receive takes a response, and refuses it if a reason is given.
func (c *client) receive(refusal string) {
	c.t.Helper()
	r, err := c.stream.Recv()
	if err != nil {
		c.t.Fatal(err)
	}
	ack := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}
	if refusal != "" {
		ack.ErrorDetail = &rpcstatus.Status{Message: refusal}
	}
	if err := c.stream.Send(ack); err != nil {
		c.t.Fatal(err)
	}
}
