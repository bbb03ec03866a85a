package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net"
	"path/filepath"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"

	"github.com/pilothouse-mesh/pilothouse/security/auth"
	"github.com/pilothouse-mesh/pilothouse/security/ca"
	"github.com/pilothouse-mesh/pilothouse/security/caserver"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/identitytest"
)

// tenants are the callers of a CA that is not the control plane's: it goes by a header of its own, and by tokens.
type tenants struct{ t *testing.T }

func (c tenants) Prove(ctx context.Context) (auth.Proof, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	for name, want := range map[string]string{"tenant": "shop", "clusterid": "Kubernetes"} {
		if got := md.Get(name); len(got) != 1 || got[0] != want {
			c.t.Errorf("the CA is told %s %q", name, got)
		}
	}
	if len(md.Get("authorization")) != 1 {
		c.t.Error("the CA got no token")
	}
	return auth.Proof{Caller: auth.Caller{Identity: auth.Identity{TrustDomain: "cluster.local", Namespace: "default", ServiceAccount: "web"}}}, nil
}

// serveOtherCA serves a CA by Istio's API.
func serveOtherCA(t *testing.T, a *ca.Authority, address string) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.Creds(credentials.NewTLS(&tls.Config{GetCertificate: a.ServerCertificate([]string{"localhost"})})))
	caserver.New(a, tenants{t}, slog.New(slog.DiscardHandler), nil).Register(srv)
	serve(t, func(ctx context.Context) error {
		defer context.AfterFunc(ctx, srv.Stop)()
		return srv.Serve(l)
	})
}

// A workload whose CA_ADDR names another CA with Istio's API is known by a certificate of that one. Callers that have
// theirs from it are taken where MeshConfig names its root, and nowhere else.
func TestIdentityByAnotherCA(t *testing.T) {
	if !envoytest.Apart(t) {
		return
	}
	other, dir := newCA(t, "cluster.local"), t.TempDir()
	write(t, dir, map[string]string{"other.pem": string(other.RootPEM())})
	serveOtherCA(t, other, "127.0.0.1:15900")
	p := newPod(t, nil)
	p.run("CA_ADDR=localhost:15900", "CA_ROOT_CA="+filepath.Join(dir, "other.pem"), "CA_HEADER_TENANT=shop")

	ours, theirs := identitytest.Signed(t, p.own, "default", "client"), identitytest.Signed(t, other, "default", "client")
	strangers := identitytest.Signed(t, newCA(t, "cluster.local"), "default", "client")
	p.taken("a caller with a certificate of the mesh", ours, true)
	server, err := p.call(ours)
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.VerifyOptions{Roots: other.Roots(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	if _, err := server.Verify(roots); err != nil || len(server.URIs) != 1 || server.URIs[0].String() != workloadName {
		t.Errorf("the workload is %v, %v", server.URIs, err)
	}
	for _, stage := range []struct {
		mesh  map[string]any
		taken bool
	}{
		{nil, false},
		{map[string]any{"caCertificates": []any{map[string]any{"pem": string(other.RootPEM())}}}, true},
		{nil, false},
	} {
		p.configure(stage.mesh)
		p.taken("callers of the other CA", theirs, stage.taken)
		if _, err := p.call(ours); err != nil {
			t.Errorf("%v: a caller of ours: %v", stage.mesh, err)
		}
		if _, err := p.call(strangers); err == nil {
			t.Errorf("%v: a caller of a CA that nobody named is taken", stage.mesh)
		}
	}
}
