package discovery

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// kialisStatus is a proxy as Kiali reads it (its kubernetes/types.go): a type is in sync where both are equal, and not
// sent where both are empty.
type kialisStatus struct {
	Cluster       string `json:"cluster_id"`
	Proxy         string `json:"proxy"`
	ProxyVersion  string `json:"proxy_version"`
	IstioVersion  string `json:"istio_version"`
	ClusterSent   string `json:"cluster_sent"`
	ClusterAcked  string `json:"cluster_acked"`
	ListenerSent  string `json:"listener_sent"`
	ListenerAcked string `json:"listener_acked"`
	RouteSent     string `json:"route_sent"`
	RouteAcked    string `json:"route_acked"`
	EndpointSent  string `json:"endpoint_sent"`
	EndpointAcked string `json:"endpoint_acked"`
}

// Kiali asks a control plane, by a forwarded port and so from its own machine, whether it is ready, for its version, and
// what its proxies have.
func TestWhatKialiAsks(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", fmt.Sprintf(service, "first", 1)+pod)
	cfg := testConfig(t, dir)
	cfg.Version = "1.4.0-7-gabcdef"
	ctx := serve(t, func(ctx context.Context) error { return Run(ctx, cfg) })
	envoytest.Eventually(t, "ready", func() bool {
		code, _ := get(t, "http://"+cfg.HTTPAddr+"/ready")
		return code == http.StatusOK
	})
	if code, body := get(t, "http://"+cfg.MonitoringAddr+"/version"); code != http.StatusOK || strings.TrimSpace(body) != cfg.Version {
		t.Errorf("the version is %d %q", code, body)
	}
	status := func() kialisStatus {
		var all []kialisStatus
		code, body := get(t, "http://"+cfg.MonitoringAddr+"/debug/syncz")
		if err := json.Unmarshal([]byte(body), &all); err != nil || code != http.StatusOK {
			t.Fatalf("%d %s: %v", code, body, err)
		}
		if len(all) != 1 {
			return kialisStatus{}
		}
		return all[0]
	}
	if _, body := get(t, "http://"+cfg.MonitoringAddr+"/debug/syncz"); strings.TrimSpace(body) != "[]" {
		t.Errorf("without proxies: %s", body)
	}

	conn, err := grpc.NewClient(cfg.GRPCAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	metadata, err := structpb.NewStruct(map[string]any{"CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.30.1"})
	if err != nil {
		t.Fatal(err)
	}
	node := &corev3.Node{Id: "sidecar~10.0.0.1~pod.default~default.svc.cluster.local", Metadata: metadata}
	for _, kind := range []xdsres.Type{xdsres.Clusters, xdsres.Listeners} {
		if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: kind.URL()}); err != nil {
			t.Fatal(err)
		}
		receive(t, stream) // and acknowledges it
	}
	var got kialisStatus
	envoytest.Eventually(t, "both types are acknowledged", func() bool {
		got = status()
		return got.ClusterAcked != "" && got.ListenerAcked != ""
	})
	want := kialisStatus{
		Cluster: "Kubernetes", Proxy: "pod.default", IstioVersion: "1.30.1",
		ClusterSent: got.ClusterAcked, ClusterAcked: got.ClusterAcked, ListenerSent: got.ListenerAcked, ListenerAcked: got.ListenerAcked,
	}
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}
