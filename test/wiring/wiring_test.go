// Package wiring joins the agent's side and the control plane's, as they are, over TLS in one
// process: certificates from the CA by a token, configuration over the xDS proxy.
package wiring

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pilothouse-mesh/pilothouse/agent/secret"
	"github.com/pilothouse-mesh/pilothouse/agent/xdsproxy"
	control "github.com/pilothouse-mesh/pilothouse/pilot/discovery"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/identitytest"
)

func write(t *testing.T, path string, data []byte) string {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// clusters asks for clusters as the Envoy of a namespace does.
func clusters(ctx context.Context, client discoveryClient, namespace string) (*discovery.DeltaDiscoveryResponse, error) {
	stream, err := client.DeltaAggregatedResources(ctx)
	if err != nil {
		return nil, err
	}
	meta, err := structpb.NewStruct(map[string]any{"NAMESPACE": namespace, "SERVICE_ACCOUNT": "web"})
	if err != nil {
		return nil, err
	}
	node := &core.Node{Id: "sidecar~10.0.0.1~web." + namespace + "~" + namespace + ".svc.cluster.local", Metadata: meta}
	if err := stream.Send(&discovery.DeltaDiscoveryRequest{Node: node, TypeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster"}); err != nil {
		return nil, err
	}
	return stream.Recv()
}

type discoveryClient = discovery.AggregatedDiscoveryServiceClient

func TestAgentsSideAgainstTheControlPlane(t *testing.T) {
	dir, caDir := t.TempDir(), t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), []byte("apiVersion: v1\nkind: Service\nmetadata: {name: first, namespace: default}\nspec: {clusterIP: 10.96.0.1, ports: [{port: 80}]}\n"))
	bearer, jwks := identitytest.Token(t, "default", "web")
	address := fmt.Sprintf("127.0.0.1:%d", envoytest.FreePort(t))
	log := slog.New(slog.DiscardHandler)

	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	g, ctx := errgroup.WithContext(ctx)
	defer func() {
		cancel()
		if err := g.Wait(); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}()
	g.Go(func() error {
		return control.Run(ctx, control.Config{
			ConfigDirs: []string{dir}, Domain: "cluster.local", ClusterID: "Kubernetes", SecureGRPCAddr: address,
			CADir: caDir, TokenJWKS: jwks, TokenIssuer: identitytest.Issuer, TokenAudiences: []string{identitytest.Audience}, Logger: log,
		})
	})

	tlsConfig := secret.ServerTLS(filepath.Join(caDir, "root-cert.pem"), "istiod.istio-system.svc")
	give := func() (string, error) { return bearer, nil }
	manager := secret.New(secret.Config{Address: address, TLS: tlsConfig, Token: give, Logger: log})
	g.Go(func() error { return manager.Run(ctx) })
	for changed := manager.Changed(); manager.WorkloadCertificate() == nil; changed = manager.Changed() {
		select {
		case <-changed:
		case <-ctx.Done():
			t.Fatal("no certificate")
		}
	}
	block, _ := pem.Decode(manager.WorkloadCertificate().CertificateChain)
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil || len(leaf.URIs) != 1 || leaf.URIs[0].String() != "spiffe://cluster.local/ns/default/sa/web" {
		t.Fatalf("certificate of %v, %v", leaf.URIs, err)
	}

	socket := filepath.Join(t.TempDir(), "XDS")
	proxy := xdsproxy.New(xdsproxy.Config{SocketPath: socket, Address: address, TLS: tlsConfig, Token: give, Logger: log})
	g.Go(func() error { return proxy.Run(ctx) })
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := discovery.NewAggregatedDiscoveryServiceClient(conn)
	resp, err := clusters(ctx, client, "default")
	if err != nil || len(resp.GetResources()) == 0 {
		t.Fatalf("clusters: %v, %v", resp, err)
	}
	// The token proves default/web, and nobody else.
	if _, err := clusters(ctx, client, "other"); status.Code(err) != codes.PermissionDenied && status.Code(err) != codes.Unauthenticated {
		t.Errorf("a proxy that claims another namespace: %v", err)
	}
}
