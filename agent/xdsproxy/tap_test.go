package xdsproxy

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"
)

// tap runs a Tap before a control plane, and gives its address.
func tap(t *testing.T, c *control) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.WaitForHandlers(true))
	discovery.RegisterAggregatedDiscoveryServiceServer(srv, c)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	proxy := New(Config{Address: l.Addr().String(), Logger: slog.New(slog.DiscardHandler)})
	front := httptest.NewUnstartedServer(NewTap(proxy, "").handler())
	front.Config.Protocols = new(http.Protocols)
	front.Config.Protocols.SetHTTP1(true)
	front.Config.Protocols.SetUnencryptedHTTP2(true)
	front.Start()
	t.Cleanup(func() {
		front.Close()
		srv.Stop()
		<-served
	})
	return front.Listener.Addr().String()
}

// plane answers each question with its type and the first of its names.
func plane() *control {
	answer := func(url string, names []string) (*anypb.Any, error) {
		if len(names) > 0 && names[0] == "secret" {
			return nil, status.Error(codes.PermissionDenied, "not for you")
		}
		return &anypb.Any{TypeUrl: url, Value: append([]byte(url+" "), names[0]...)}, nil
	}
	return &control{
		full: func(s fullServer) error {
			r, err := s.Recv()
			if err != nil {
				return err
			}
			a, err := answer(r.GetTypeUrl(), r.GetResourceNames())
			if err != nil {
				return err
			}
			return s.Send(&discovery.DiscoveryResponse{TypeUrl: r.GetTypeUrl(), Resources: []*anypb.Any{a}})
		},
		delta: func(s deltaServer) error {
			r, err := s.Recv()
			if err != nil {
				return err
			}
			a, err := answer(r.GetTypeUrl(), r.GetResourceNamesSubscribe())
			if err != nil {
				return err
			}
			return s.Send(&discovery.DeltaDiscoveryResponse{TypeUrl: r.GetTypeUrl(), Resources: []*discovery.Resource{{Resource: a}}})
		},
	}
}

func TestToolsAskThroughTheAgent(t *testing.T) {
	address := tap(t, plane())
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	client := discovery.NewAggregatedDiscoveryServiceClient(conn)
	ask := func(url, name string) (*discovery.DiscoveryResponse, error) {
		t.Helper()
		s, err := client.StreamAggregatedResources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(&discovery.DiscoveryRequest{TypeUrl: url, ResourceNames: []string{name}}); err != nil {
			t.Fatal(err)
		}
		return s.Recv()
	}
	if r, err := ask("istio.io/debug/syncz", "x"); err != nil || string(r.GetResources()[0].GetValue()) != "istio.io/debug/syncz x" {
		t.Errorf("got %v, %v", r, err)
	}
	if _, err := ask("istio.io/debug/syncz", "secret"); status.Code(err) != codes.PermissionDenied {
		t.Errorf("the control plane's refusal came as %v", err)
	}
	for _, url := range []string{clusterType, nameTableType, "istio.io/debugger", ""} {
		if _, err := ask(url, "x"); status.Code(err) != codes.InvalidArgument {
			t.Errorf("%q was answered: %v", url, err)
		}
	}
	s, err := client.DeltaAggregatedResources(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Send(&discovery.DeltaDiscoveryRequest{TypeUrl: debugType, ResourceNamesSubscribe: []string{"list"}}); err != nil {
		t.Fatal(err)
	}
	if r, err := s.Recv(); err != nil || string(r.GetResources()[0].GetResource().GetValue()) != "istio.io/debug list" {
		t.Errorf("got %v, %v", r, err)
	}
}

func TestPagesOfTheControlPlaneThroughTheAgent(t *testing.T) {
	address := tap(t, plane())
	get := func(path string) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Close = true
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(body)
	}
	if code, body := get("/debug/config_dump?proxyID=a.b"); code != 200 || body != "istio.io/debug config_dump?proxyID=a.b" {
		t.Errorf("got %d %q", code, body)
	}
	if code, body := get("/debug/secret"); code != 403 || body != "not for you\n" {
		t.Errorf("got %d %q", code, body)
	}
	if code, _ := get("/healthz"); code != 404 {
		t.Errorf("another path gives %d", code)
	}
}
