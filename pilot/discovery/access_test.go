package discovery

import (
	"context"
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	security "istio.io/api/security/v1beta1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/pilothouse-mesh/pilothouse/pilot/incluster"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// rights are an API server that lets the service accounts of one namespace list Secrets.
type rights struct{ namespace string }

func (r rights) Create(_ context.Context, review *authorizationv1.SubjectAccessReview, _ metav1.CreateOptions) (*authorizationv1.SubjectAccessReview, error) {
	review.Status.Allowed = review.Spec.ResourceAttributes.Namespace == r.namespace
	return review, nil
}

// The API server is asked about gateways of its own cluster only. A service account of the same name is in both clusters,
// and one in the other alone: neither ends a stream, and neither is a problem here.
func TestNobodyAsksWhatGatewaysOfAnotherClusterMay(t *testing.T) {
	named, ruled := t.TempDir(), t.TempDir()
	token, theirs := tokens(t, named), tokens(t, ruled)
	issuer := httptest.NewServer(http.FileServer(http.Dir(ruled)))
	defer issuer.Close()
	p := running(t, func(p *plane) {
		p.cfg.TokenJWKS, p.cfg.TokenAudiences = filepath.Join(named, "jwks.json"), []string{"istio-ca"}
		p.cfg.JWTRule = &security.JWTRule{Issuer: "https://issuer.example.org", JwksUri: issuer.URL + "/jwks.json", Audiences: []string{"istio-ca"}}
		p.access = incluster.NewSecretAccess(rights{"default"}, p.cfg.Logger)
	})
	conn := dialGRPC(t, p.cfg.SecureGRPCAddr, credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})) // of a caller that trusts anyone
	streams := map[string]discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient{}
	for pod, by := range map[string]http.Header{
		"here.default": token("default"), "side.default": token("default"), "there.default": theirs("default"), "there.elsewhere": theirs("elsewhere"),
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", by.Get("Authorization"))
		stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
		if err != nil {
			t.Fatal(err)
		}
		kind := "router"
		if pod == "side.default" {
			kind = "sidecar"
		}
		if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{
			Node: &corev3.Node{Id: kind + "~127.0.0.1~" + pod + "~default.svc.cluster.local"}, TypeUrl: xdsres.Clusters.URL(),
		}); err != nil {
			t.Fatal(err)
		}
		if _, err := stream.Recv(); err != nil {
			t.Fatalf("%s: %v", pod, err)
		}
		streams[pod] = stream
	}
	secrets := map[string]bool{}
	for _, x := range p.xds.Connections() {
		secrets[x.Proxy()] = x.Node.Secrets
	}
	if len(secrets) != 4 || secrets["side.default"] || !secrets["here.default"] || secrets["there.default"] || secrets["there.elsewhere"] {
		t.Errorf("have Secrets: %v", secrets)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err := p.access.Run(ctx, (&cluster{plane: p}).needSecrets, func(who incluster.ServiceAccount, _ bool) {
		t.Errorf("the streams of %v are ended", who)
	}, func(problems []model.Problem) {
		if len(problems) > 0 {
			t.Errorf("problems: %v", problems)
		}
		cancel() // of the first round
	})
	if err != nil {
		t.Error(err)
	}
	(&cluster{plane: p}).decideSecrets(incluster.ServiceAccount{Namespace: "default", Name: "someone"}, false)
	if r, err := streams["here.default"].Recv(); status.Code(err) != codes.Unavailable {
		t.Errorf("a right of the one here has changed, and its stream goes on: %v, %v", r, err)
	}
	for _, pod := range []string{"there.default", "side.default"} {
		if err := streams[pod].Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: xdsres.Listeners.URL()}); err != nil {
			t.Error(err)
		}
		if _, err := streams[pod].Recv(); err != nil {
			t.Errorf("so %s ends: %v", pod, err)
		}
	}
}
