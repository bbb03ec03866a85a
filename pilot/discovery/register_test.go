package discovery

import (
	"context"
	"crypto/tls"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

const someGroup = `
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: db, namespace: default}
spec: {hosts: [db.example.com], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: db}}}
---
apiVersion: networking.istio.io/v1
kind: WorkloadGroup
metadata: {name: db, namespace: default}
spec: {metadata: {labels: {app: db}}, template: {serviceAccount: someone, ports: {http: 8080}}}
`

// TestAMachineIsRegisteredWhileItIsConnected follows a machine to the endpoints of its service, which somebody of
// another namespace sees, who is not registered.
func TestAMachineIsRegisteredWhileItIsConnected(t *testing.T) {
	dir, keys := t.TempDir(), t.TempDir()
	write(t, dir, "a.yaml", someGroup)
	cfg := testConfig(t, dir)
	token := tokens(t, keys)
	cfg.CADir, cfg.TokenJWKS, cfg.TokenIssuer, cfg.TokenAudiences = t.TempDir(), filepath.Join(keys, "jwks.json"), "https://issuer.example.org", []string{"istio-ca"}
	cfg.MachineGrace = time.Millisecond
	p := newPlane(cfg)
	serve(t, p.run)
	envoytest.Eventually(t, "serving", p.serving.Load)

	// connect gives a stream, and what waits until so many endpoints are in service.
	connect := func(ctx context.Context, namespace string) func(what string, healthy int) {
		conn := dialGRPC(t, cfg.SecureGRPCAddr, credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}))
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", token(namespace).Get("Authorization"))
		stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
		if err != nil {
			t.Fatal(err)
		}
		send := func(r *discoveryv3.DeltaDiscoveryRequest) {
			if err := stream.Send(r); err != nil {
				t.Fatal(err)
			}
		}
		fields, err := structpb.NewStruct(map[string]any{"AUTO_REGISTER_GROUP": "db", "INSTANCE_IPS": "10.9.0.7"})
		if err != nil {
			t.Fatal(err)
		}
		send(&discoveryv3.DeltaDiscoveryRequest{
			Node:    &corev3.Node{Id: "sidecar~10.9.0.7~vm." + namespace + "~" + namespace + ".svc.cluster.local", Metadata: fields},
			TypeUrl: xdsres.Endpoints.URL(), ResourceNamesSubscribe: []string{"outbound|80||db.example.com"},
		})
		return func(what string, healthy int) {
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
	}
	seen := connect(t.Context(), "other")
	seen("nobody is connected", 0)
	envoytest.Eventually(t, "it is told that the other is none", func() bool {
		return slices.ContainsFunc(p.board.Problems(), func(q model.Problem) bool {
			return q.Object.Namespace == "other" && strings.Contains(q.Message, "the proxy vm names this group")
		})
	})
	ctx, end := context.WithCancel(t.Context())
	defer end()
	connect(ctx, "default")("the machine sees itself", 1)
	seen("it is connected", 1)
	end()
	seen("it has gone", 0)
}
