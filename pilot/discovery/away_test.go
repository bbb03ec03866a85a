package discovery

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	security "istio.io/api/security/v1beta1"
	"k8s.io/client-go/rest"

	"github.com/pilothouse-mesh/pilothouse/security/ca"
)

// While the API server is away, nobody takes a pod of its cluster for one of another, who knows its token as well. It
// comes again. Callers by other issuers are let in meanwhile.
func TestNobodyIsOfAnotherClusterWhileTheAPIServerIsAway(t *testing.T) {
	named, ruled := t.TempDir(), t.TempDir()
	token, theirs := tokens(t, named), tokensOf(t, ruled, "https://other.example.org")
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "away", http.StatusInternalServerError)
	}))
	defer api.Close()
	issuer := httptest.NewServer(http.FileServer(http.Dir(ruled)))
	defer issuer.Close()
	authority, err := ca.NewKeeper(ca.KeeperOptions{Logger: testConfig(t, t.TempDir()).Logger})
	if err != nil {
		t.Fatal(err)
	}
	own := token("pilothouse").Get("Authorization")[len("Bearer "):]
	p := running(t, func(p *plane) {
		p.cfg.TokenJWKS, p.cfg.Kube, p.cfg.TokenAudiences = filepath.Join(named, "jwks.json"), &rest.Config{Host: api.URL, BearerToken: own}, []string{"istio-ca"}
		p.cfg.JWTRule = &security.JWTRule{Issuer: "https://other.example.org", JwksUri: issuer.URL + "/jwks.json", Audiences: []string{"istio-ca"}}
	})
	a, err := p.authenticator(authority, &cluster{plane: p})
	if err != nil {
		t.Fatal(err)
	}
	call := func(by func(string) http.Header) (foreign bool, code codes.Code) {
		c, err := a.Authenticate(metadata.NewIncomingContext(t.Context(), metadata.Pairs("authorization", by("default").Get("Authorization"))))
		return c.Foreign, status.Code(err)
	}
	if foreign, code := call(token); code != codes.Unavailable {
		t.Errorf("a pod of the cluster: foreign %v, %v", foreign, code)
	}
	if foreign, code := call(theirs); code != codes.OK || !foreign {
		t.Errorf("a caller by another issuer: foreign %v, %v", foreign, code)
	}
}
