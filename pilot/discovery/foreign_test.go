package discovery

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/metadata"
	security "istio.io/api/security/v1beta1"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// Whoever the API server knows is of its cluster, also where the issuer that is named knows the token as well. All others
// are of elsewhere; without a cluster those of the named issuer are of this machine.
func TestWhoIsOfAnotherCluster(t *testing.T) {
	named, ruled := t.TempDir(), t.TempDir()
	token, theirs := tokens(t, named), tokens(t, ruled)
	bearer := func(of func(string) http.Header) string { return of("default").Get("Authorization") }
	reviewed, remote, external := bearer(token), bearer(token), bearer(theirs)
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		review := authenticationv1.TokenReview{}
		if _, _, err := scheme.Codecs.UniversalDeserializer().Decode(body, nil, &review); err != nil {
			t.Error(err)
		}
		review.APIVersion, review.Kind = "authentication.k8s.io/v1", "TokenReview"
		if "Bearer "+review.Spec.Token == reviewed {
			review.Status = authenticationv1.TokenReviewStatus{
				Authenticated: true, Audiences: review.Spec.Audiences, User: authenticationv1.UserInfo{Username: "system:serviceaccount:default:someone"},
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(&review)
	}))
	defer api.Close()
	issuer := httptest.NewServer(http.FileServer(http.Dir(ruled)))
	defer issuer.Close()
	authority, err := ca.NewKeeper(ca.KeeperOptions{Logger: testConfig(t, t.TempDir()).Logger})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]map[string]bool{
		"machine": {remote: false, external: true},
		"cluster": {reviewed: false, remote: true, external: true},
	} {
		t.Run(name, func(t *testing.T) {
			p := running(t, func(p *plane) {
				p.cfg.TokenJWKS, p.cfg.Kube, p.cfg.TokenAudiences = filepath.Join(named, "jwks.json"), &rest.Config{Host: api.URL}, []string{"istio-ca"}
				p.cfg.JWTRule = &security.JWTRule{Issuer: "https://issuer.example.org", JwksUri: issuer.URL + "/jwks.json", Audiences: []string{"istio-ca"}}
			})
			var c *cluster
			if name == "cluster" {
				c = &cluster{plane: p}
			}
			a, err := p.authenticator(authority, c)
			if err != nil {
				t.Fatal(err)
			}
			for by, foreign := range want {
				ctx := metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", by))
				caller, err := a.Authenticate(ctx)
				if err != nil || caller.Foreign != foreign {
					t.Errorf("%s…: of another cluster: %v, want %v (%v)", by[:strings.Index(by, ".")], caller.Foreign, foreign, err)
				}
				if proof, err := a.Prove(ctx); err != nil || proof.Foreign != foreign || proof.Cluster != p.cfg.ClusterID {
					t.Errorf("its certificate says %+v (%v)", proof, err)
				}
			}
		})
	}
}
