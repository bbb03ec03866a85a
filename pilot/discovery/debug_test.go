package discovery

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	adminv3 "github.com/envoyproxy/go-control-plane/envoy/admin/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statusv3 "github.com/envoyproxy/go-control-plane/envoy/service/status/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/structpb"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// istioctl is how istioctl asks over ADS: the state of the world, a node of its own, one request, and
// then what its client acknowledges by itself.
type istioctl struct {
	t    *testing.T
	conn *grpc.ClientConn
}

func (c istioctl) ask(url string, names ...string) (*discoveryv3.DiscoveryResponse, error) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 10*time.Second)
	defer cancel()
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(c.conn).StreamAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	metadata, err := structpb.NewStruct(map[string]any{
		"GENERATOR": "event", "SERVICE_ACCOUNT": "default", "NAMESPACE": "istio-system", "ISTIO_VERSION": "65536.65536.65536",
	})
	if err != nil {
		c.t.Fatal(err)
	}
	req := &discoveryv3.DiscoveryRequest{
		Node:    &corev3.Node{Id: "sidecar~10.9.9.9~test-1.istio-system~istio-system.svc.cluster.local", Metadata: metadata},
		TypeUrl: url, ResourceNames: names,
	}
	if err := stream.Send(req); err != nil {
		return nil, err
	}
	r, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	req.ResponseNonce, req.VersionInfo = r.GetNonce(), r.GetVersionInfo()
	return r, stream.Send(req)
}

// statuses gives the proxies of a syncz with the states of clusters and routes.
func statuses(t *testing.T, r *discoveryv3.DiscoveryResponse) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, a := range r.GetResources() {
		var c statusv3.ClientConfig
		if err := a.UnmarshalTo(&c); err != nil {
			t.Fatal(err)
		}
		for _, g := range c.GetGenericXdsConfigs() {
			if g.GetTypeUrl() == xdsres.Clusters.URL() {
				out[c.GetNode().GetId()] = g.GetConfigStatus().String()
			}
		}
		former := 0
		//lint:ignore SA1019 it is what older tools read
		for _, g := range c.GetXdsConfig() {
			if g.GetClusterConfig() != nil && g.GetStatus().String() == out[c.GetNode().GetId()] {
				former++
			}
		}
		if former != 1 {
			t.Errorf("an older istioctl reads no clusters of %v", &c)
		}
	}
	return out
}

func TestIstioctlAsksOverADS(t *testing.T) {
	dir, keys := t.TempDir(), t.TempDir()
	write(t, dir, "a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n")
	cfg := testConfig(t, dir)
	token := tokens(t, keys)
	cfg.TokenJWKS, cfg.CADir = filepath.Join(keys, "jwks.json"), t.TempDir()
	ctx := serve(t, func(ctx context.Context) error { return Run(ctx, cfg) })
	envoytest.Eventually(t, "ready", func() bool {
		code, _ := get(t, "http://"+cfg.HTTPAddr+"/ready")
		return code == http.StatusOK
	})
	dial := func(addr string, options ...grpc.DialOption) *grpc.ClientConn {
		conn, err := grpc.NewClient(addr, options...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	plain := dial(cfg.GRPCAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	secure := func(header http.Header) *grpc.ClientConn {
		return dial(cfg.SecureGRPCAddr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})),
			grpc.WithPerRPCCredentials(bearer(header.Get("Authorization"))))
	}
	proxy, err := discoveryv3.NewAggregatedDiscoveryServiceClient(plain).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	node := &corev3.Node{Id: "sidecar~10.0.0.1~pod.default~default.svc.cluster.local"}
	if err := proxy.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: xdsres.Clusters.URL()}); err != nil {
		t.Fatal(err)
	}
	receive(t, proxy)
	envoytest.Eventually(t, "acknowledged", func() bool {
		r, err := (istioctl{t, plain}).ask("istio.io/debug/syncz")
		return err == nil && statuses(t, r)["pod.default"] == "SYNCED"
	})

	for name, c := range map[string]istioctl{"plaintext": {t, plain}, "a token": {t, secure(token("istio-system"))}} {
		r, err := c.ask("istio.io/debug/syncz")
		if err != nil {
			t.Fatalf("%s: syncz: %v", name, err)
		}
		if got := statuses(t, r); len(got) != 1 || got["pod.default"] != "SYNCED" {
			t.Errorf("%s: syncz: %v", name, got)
		}
		var plane struct {
			Component, ID string
			Info          struct{ Version string }
		}
		if err := json.Unmarshal([]byte(r.GetControlPlane().GetIdentifier()), &plane); err != nil || plane.Component != "istiod" || plane.ID != "istiod-0" || plane.Info.Version != "test" {
			t.Errorf("%s: control plane: %v %v", name, r.GetControlPlane(), err)
		}
		if r, err = c.ask("istio.io/debug/config_dump", "pod.default"); err != nil {
			t.Fatalf("%s: config_dump: %v", name, err)
		}
		var types []string
		for _, part := range r.GetResources() {
			types = append(types, string(part.MessageName().Name()))
		}
		if want := []string{"ClustersConfigDump", "EndpointsConfigDump", "ListenersConfigDump", "RoutesConfigDump"}; !slices.Equal(types, want) {
			t.Errorf("%s: config_dump gives %v, want %v", name, types, want)
		}
		if err := r.GetResources()[0].UnmarshalTo(&adminv3.ClustersConfigDump{}); err != nil {
			t.Errorf("%s: config_dump: %v", name, err)
		}
		for url, names := range map[string]string{"istio.io/debug/config_dump": "other.default", "istio.io/debug": "config_dump?proxyID=other.default"} {
			if r, err = c.ask(url, names); err != nil || len(r.GetResources()) != 1 ||
				!strings.HasPrefix(string(r.GetResources()[0].GetValue()), "Proxy not connected to this Pilot instance. It may be connected to another instance.") {
				t.Errorf("%s: %s of nobody: %v %v", name, url, r, err)
			}
		}
		if r, err = c.ask("istio.io/debug", "syncz"); err != nil || len(r.GetResources()) != 1 || !strings.Contains(string(r.GetResources()[0].GetValue()), `"proxy": "pod.default"`) {
			t.Errorf("%s: istio.io/debug: %v %v", name, r, err)
		}
	}
	if _, err := (istioctl{t, secure(http.Header{"Authorization": {"Bearer x"}})}).ask("istio.io/debug/syncz"); err == nil {
		t.Error("a wrong token is answered")
	}

	// An agent asks on its proxy's stream, where the answer to another type does no harm.
	ask := &discoveryv3.DeltaDiscoveryRequest{TypeUrl: "istio.io/debug/syncz"}
	if err := proxy.Send(ask); err != nil {
		t.Fatal(err)
	}
	r, err := proxy.Recv()
	if err != nil || r.GetTypeUrl() != ask.GetTypeUrl() || len(r.GetResources()) != 1 || r.GetResources()[0].GetName() != "pod.default" {
		t.Fatalf("on a proxy's stream: %v %v", r, err)
	}
	ask.ResponseNonce = r.GetNonce()
	if err := proxy.Send(ask); err != nil {
		t.Fatal(err)
	}
	write(t, dir, "b.yaml", strings.NewReplacer("%s", "late", "%d", "1").Replace(service)+pod)
	if next := receive(t, proxy); !has(next, "outbound|80||late.default.svc.cluster.local") {
		t.Errorf("after the answer came %v", next)
	}
}

// bearer is a token as istioctl sends it.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": string(b)}, nil
}

func (b bearer) RequireTransportSecurity() bool { return true }
