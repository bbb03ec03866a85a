package discovery

import (
	"crypto/tls"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	security "istio.io/api/security/v1beta1"
)

// A caller with a token of the issuer of JWT_RULE is who its subject names, beside those with tokens of the
// cluster. Tokens of other issuers and for other audiences prove nothing.
func TestCallersByTheIssuerOfJWTRule(t *testing.T) {
	keys, theirs := t.TempDir(), t.TempDir()
	token, clusters, foreign := tokens(t, keys), tokens(t, theirs), tokens(t, t.TempDir())
	issuer := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		data, err := os.ReadFile(filepath.Join(keys, "jwks.json"))
		if err != nil {
			t.Error(err)
		}
		_, _ = w.Write(data)
	}))
	defer issuer.Close()
	for name, c := range map[string]struct {
		rule *security.JWTRule
		want map[string]codes.Code
	}{
		"its own": {
			&security.JWTRule{Issuer: "https://issuer.example.org", JwksUri: issuer.URL, Audiences: []string{"other", "istio-ca"}},
			map[string]codes.Code{"rule": codes.InvalidArgument, "cluster": codes.InvalidArgument, "foreign": codes.Unauthenticated}, // the request has no node
		},
		"another issuer": {
			&security.JWTRule{Issuer: "https://issuer.example.com", JwksUri: issuer.URL, Audiences: []string{"istio-ca"}},
			map[string]codes.Code{"rule": codes.Unauthenticated, "cluster": codes.InvalidArgument},
		},
		"another audience": {
			&security.JWTRule{Issuer: "https://issuer.example.org", JwksUri: issuer.URL, Audiences: []string{"other"}},
			map[string]codes.Code{"rule": codes.Unauthenticated},
		},
	} {
		t.Run(name, func(t *testing.T) {
			p := running(t, func(p *plane) { p.cfg.JWTRule, p.cfg.TokenJWKS = c.rule, filepath.Join(theirs, "jwks.json") })
			conn := dialGRPC(t, p.cfg.SecureGRPCAddr, credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})) // of a caller that trusts anyone
			for who, want := range c.want {
				by := map[string]func(string) http.Header{"rule": token, "cluster": clusters, "foreign": foreign}[who]
				ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", by("default").Get("Authorization"))
				if err := ask(ctx, t, conn); status.Code(err) != want {
					t.Errorf("%s: %v, want %v", who, err, want)
				}
			}
		})
	}
}
