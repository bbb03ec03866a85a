package translate

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	bootstrapv3 "github.com/envoyproxy/go-control-plane/envoy/config/bootstrap/v3"
	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	authv3 "github.com/envoyproxy/go-control-plane/envoy/service/auth/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// providersYAML are the servers of external authorization that cases may name: authz answers, away does
// not.
const providersYAML = `
apiVersion: v1
kind: Service
metadata: {name: authz, namespace: auth}
spec: {clusterIP: 10.1.0.2, selector: {app: authz}, ports: [{name: http, port: 8000}, {name: grpc, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: away, namespace: auth}
spec: {clusterIP: 10.1.0.3, selector: {app: away}, ports: [{name: http, port: 8000}, {name: grpc, port: 9000}]}
---
`

// providerPorts runs the servers and gives the ports of their clusters.
func providerPorts(t *testing.T) map[string]int {
	t.Helper()
	return map[string]int{
		model.ClusterName("outbound", 8000, "", "authz.auth.svc.cluster.local"): httpAuthorizer(t),
		model.ClusterName("outbound", 9000, "", "authz.auth.svc.cluster.local"): grpcAuthorizer(t),
		model.ClusterName("outbound", 8000, "", "away.auth.svc.cluster.local"):  envoytest.FreePort(t),
		model.ClusterName("outbound", 9000, "", "away.auth.svc.cluster.local"):  envoytest.FreePort(t),
	}
}

// addProviders runs the servers and adds their clusters.
func addProviders(t *testing.T, b *bootstrapv3.Bootstrap, clusters []Resource) {
	t.Helper()
	ports := providerPorts(t)
	for _, r := range clusters {
		if port := ports[r.Name]; port != 0 {
			b.StaticResources.Clusters = append(b.StaticResources.Clusters, staticCluster(r.Body.(*clusterv3.Cluster), port))
		}
	}
}

// httpAuthorizer allows what says x-let: in. It tells in headers what it was asked.
func httpAuthorizer(t *testing.T) int {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("x-asked", fmt.Sprintf("%s %s %s user=%s mesh=%s body=%s", r.Method, r.Host, r.URL.Path, r.Header.Get("x-user"), r.Header.Get("x-mesh"), body))
		w.Header().Set("x-other", "o")
		if r.Header.Get("x-let") != "in" {
			w.WriteHeader(http.StatusForbidden)
		}
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().(*net.TCPAddr).Port
}

// authorizer is the same for gRPC. Connections it lets in by the name in their TLS handshake.
type authorizer struct {
	authv3.UnimplementedAuthorizationServer
}

func (authorizer) Check(_ context.Context, r *authv3.CheckRequest) (*authv3.CheckResponse, error) {
	h := r.GetAttributes().GetRequest().GetHttp()
	asked := []*core.HeaderValueOption{{Header: &core.HeaderValue{
		Key: "x-asked", Value: fmt.Sprintf("%s %s %s user=%s body=%s", h.GetMethod(), h.GetHost(), h.GetPath(), h.GetHeaders()["x-user"], h.GetBody()+string(h.GetRawBody())),
	}}}
	// Of a connection nothing is known but who is on it.
	if h.GetHeaders()["x-let"] == "in" || h == nil && strings.HasSuffix(r.GetAttributes().GetSource().GetPrincipal(), "/sa/friend") {
		return &authv3.CheckResponse{Status: &status.Status{}, HttpResponse: &authv3.CheckResponse_OkResponse{OkResponse: &authv3.OkHttpResponse{Headers: asked}}}, nil
	}
	return &authv3.CheckResponse{
		Status: &status.Status{Code: int32(codes.PermissionDenied)},
		HttpResponse: &authv3.CheckResponse_DeniedResponse{DeniedResponse: &authv3.DeniedHttpResponse{
			Status: &typev3.HttpStatus{Code: typev3.StatusCode_Forbidden}, Headers: asked,
		}},
	}, nil
}

func grpcAuthorizer(t *testing.T) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	authv3.RegisterAuthorizationServer(server, authorizer{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(l) // it ends when it is stopped
	}()
	t.Cleanup(func() {
		server.Stop()
		<-done
	})
	return l.Addr().(*net.TCPAddr).Port
}

// checkCustom compares what concerns a provider.
func (c *policyCall) checkCustom(t *testing.T, i int, got *policyAnswer) {
	t.Helper()
	for name, want := range c.Sees {
		if v := got.seen.Get(name); v != want {
			t.Errorf("call %d %+v: the workload sees %s: %q", i, c, name, v)
		}
	}
	for name, want := range c.Gets {
		if v := got.header.Get(name); v != want {
			t.Errorf("call %d %+v: the client gets %s: %q", i, c, name, v)
		}
	}
}
