package discovery

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/pilothouse-mesh/pilothouse/pilot/debug"
	"github.com/pilothouse-mesh/pilothouse/pilot/incluster"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// TestReplicaIsAsked asks a control plane as another replica of it does, with the same CA.
func TestReplicaIsAsked(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: wrong, namespace: default}\nspec: {hosts: [a], http: [{name: nowhere}]}\n")
	cfg := testConfig(t, dir)
	cfg.CADir = t.TempDir()
	serve(t, func(ctx context.Context) error { return Run(ctx, cfg) })
	envoytest.Eventually(t, "ready", func() bool {
		code, _ := get(t, "http://"+cfg.HTTPAddr+"/ready")
		return code == http.StatusOK
	})
	authority, err := ca.NewKeeper(ca.KeeperOptions{Options: ca.Options{Dir: cfg.CADir, TrustDomain: "cluster.local"}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	self, err := ownCertificate(authority, auth.Identity{TrustDomain: "cluster.local", Namespace: "istio-system", ServiceAccount: "istiod"})
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{RootCAs: authority.Roots(), ServerName: cfg.serverNames()[0], Certificates: []tls.Certificate{self}}
	page, err := pageOf(t.Context(), cfg.SecureGRPCAddr, config, "problems")
	if err != nil {
		t.Fatal(err)
	}
	if all, err := debug.ReadProblems(page); err != nil || len(all) != 1 {
		t.Errorf("problems %v, %v", all, err)
	}
	config.Certificates = nil
	if _, err := pageOf(t.Context(), cfg.SecureGRPCAddr, config, "problems"); err == nil {
		t.Error("who proves nothing has an answer")
	}
	host, _, err := net.SplitHostPort(cfg.SecureGRPCAddr)
	if err != nil {
		t.Fatal(err)
	}
	other := &replicas{&cluster{plane: &plane{cfg: cfg}, namespace: "istio-system"}, authority}
	if refused, err := other.Refused(t.Context(), host); err != nil || len(refused) != 0 {
		t.Errorf("no proxy refused %v (%v)", refused, err)
	}
	conn, err := grpc.NewClient(cfg.GRPCAddr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	anybody, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	node := &corev3.Node{Id: "sidecar~10.0.0.1~anybody.default~default.svc.cluster.local"}
	if err := anybody.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: resource.Clusters.URL()}); err != nil {
		t.Fatal(err)
	}
	if _, err := anybody.Recv(); err != nil {
		t.Fatal(err)
	}
	signs := ca.Fingerprint(certificateOf(t, authority.Bundle()[0]))
	heard, err := other.Roots(t.Context(), incluster.Peer{Name: "istiod-2", Address: host})
	if err != nil || heard.Signer != signs || !slices.Equal(heard.Roots, []string{signs}) || heard.MaxTTL != 24*time.Hour || len(heard.Proxies) != 0 || heard.Unproven.String() != "anybody.default" {
		t.Errorf("of roots it says %+v (%v)", heard, err)
	}
}

func TestOtherReplicas(t *testing.T) {
	ready, not := true, false
	endpoint := func(pod, address string, ready *bool) discoveryv1.Endpoint {
		return discoveryv1.Endpoint{Addresses: []string{address}, Conditions: discoveryv1.EndpointConditions{Ready: ready}, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: pod}}
	}
	slice := func(name, service string, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "istio-system", Labels: map[string]string{discoveryv1.LabelServiceName: service, "app": "istiod"}}, Endpoints: endpoints,
		}
	}
	client := fake.NewClientset(
		slice("a", "istiod", endpoint("istiod-1", "10.0.0.1", &ready), endpoint("istiod-2", "10.0.0.2", &ready), endpoint("istiod-3", "10.0.0.3", &not)),
		slice("b", "istiod", endpoint("istiod-1", "fd00::1", &ready), endpoint("istiod-2", "fd00::2", &ready), endpoint("istiod-4", "10.0.0.4", &ready)),
		slice("c", "istiod-canary", endpoint("istiod-canary-1", "10.0.0.9", &ready)),
	)
	of := &replicas{cluster: &cluster{plane: &plane{cfg: Config{Name: "istiod-1"}}, client: client, namespace: "istio-system"}}
	got, err := of.Others(t.Context())
	if err != nil || len(got) != 2 || !slices.Contains(got, "10.0.0.4") || slices.Contains(got, "10.0.0.1") || slices.Contains(got, "fd00::1") {
		t.Errorf("%v, %v", got, err)
	}
	// The CA is one for all revisions, and a replica that is not ready may have proxies.
	peers, err := of.Peers(t.Context())
	var names []string
	for _, p := range peers {
		names = append(names, p.Name)
	}
	if err != nil || !slices.Equal(names, []string{"istiod-2", "istiod-3", "istiod-4", "istiod-canary-1"}) {
		t.Errorf("%v, %v", peers, err)
	}
}

// The charts name the service account of a control plane by its revision, in the namespace of all of them.
func TestRevisionsKnowEachOther(t *testing.T) {
	for revision, own := range map[string]string{"": "istiod", "default": "istiod", "canary": "istiod-canary"} {
		c := Config{Namespace: "mesh", Revision: revision}
		if id := c.replica(); id.ServiceAccount != own {
			t.Errorf("revision %q is %v", revision, id)
		}
		for id, want := range map[xds.Identity]bool{
			{Namespace: "mesh", ServiceAccount: "istiod"}: true, {Namespace: "mesh", ServiceAccount: "istiod-canary"}: true,
			{Namespace: "mesh", ServiceAccount: "default"}: false, {Namespace: "mesh", ServiceAccount: "istiodx"}: false,
			{Namespace: "shop", ServiceAccount: "istiod"}: false,
		} {
			if c.controlPlane(id) != want {
				t.Errorf("revision %q takes %v: %v, want %v", revision, id, !want, want)
			}
		}
	}
}

func certificateOf(t *testing.T, text string) *x509.Certificate {
	t.Helper()
	block, _ := pem.Decode([]byte(text))
	c, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
