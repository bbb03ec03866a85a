package discovery

import (
	"crypto/tls"
	"path/filepath"
	"strings"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	statuspb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// TestEndpointsFollowWhatAnAgentSaysOnItsStream has a machine come before its entry, and say over ADS how it is.
func TestEndpointsFollowWhatAnAgentSaysOnItsStream(t *testing.T) {
	dir, keys := t.TempDir(), t.TempDir()
	service, entry, _ := strings.Cut(machines, "\n---\n")
	write(t, dir, "a.yaml", service)
	cfg := testConfig(t, dir)
	token := tokens(t, keys)
	cfg.CADir, cfg.TokenJWKS, cfg.TokenIssuer, cfg.TokenAudiences = t.TempDir(), filepath.Join(keys, "jwks.json"), "https://issuer.example.org", []string{"istio-ca"}
	p := newPlane(cfg)
	serve(t, p.run)
	envoytest.Eventually(t, "serving", p.serving.Load)

	conn := dialGRPC(t, cfg.SecureGRPCAddr, credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})) // of a caller that trusts anyone
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", token("default").Get("Authorization"))
	stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		t.Fatal(err)
	}
	send := func(r *discoveryv3.DeltaDiscoveryRequest) {
		if err := stream.Send(r); err != nil {
			t.Fatal(err)
		}
	}
	const cluster = "outbound|80||db.example.com"
	send(&discoveryv3.DeltaDiscoveryRequest{
		Node:    &corev3.Node{Id: "sidecar~127.0.0.1~db-1.default~default.svc.cluster.local"},
		TypeUrl: xdsres.Endpoints.URL(), ResourceNamesSubscribe: []string{cluster},
	})
	until := func(what string, healthy int) {
		t.Helper()
		for have := -1; have != healthy; {
			r, err := stream.Recv()
			if err != nil {
				t.Fatalf("%s: %v", what, err)
			}
			send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
			for _, res := range r.GetResources() {
				have = inService(t, res)
			}
		}
	}
	until("there is no entry", 0)
	send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.HealthType})
	write(t, dir, "b.yaml", strings.Replace(entry, "10.9.0.1, serviceAccount: db", "127.0.0.1", 1))
	until("well", 1)
	send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.HealthType, ErrorDetail: &statuspb.Status{Code: 500, Message: "down"}})
	until("ill", 0)
	send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xds.HealthType})
	until("well again", 1)
}

// inService counts the endpoints of a load assignment that are.
func inService(t *testing.T, r *discoveryv3.Resource) (n int) {
	var a endpointv3.ClusterLoadAssignment
	if err := r.GetResource().UnmarshalTo(&a); err != nil {
		t.Fatal(err)
	}
	for _, locality := range a.GetEndpoints() {
		for _, e := range locality.GetLbEndpoints() {
			if s := e.GetHealthStatus(); s == corev3.HealthStatus_UNKNOWN || s == corev3.HealthStatus_HEALTHY {
				n++
			}
		}
	}
	return n
}
