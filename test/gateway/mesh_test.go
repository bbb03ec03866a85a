package gateway

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/source/file"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/storetest"
)

// deadline is how long anything may take that has to come.
const deadline = 30 * time.Second

// mesh is a control plane with one gateway, an Envoy.
type mesh struct {
	t       *testing.T
	feed    *storetest.Feed
	builder *build.Builder
	engine  *push.Engine
	envoy   *envoytest.Envoy
	socket  string

	mu       sync.Mutex
	problems []model.Problem
}

// newMesh starts both; identity is what the gateway proves, nil for nothing.
func newMesh(t *testing.T, identity *xds.Identity, yaml string) *mesh {
	t.Helper()
	m := newPlane(t, identity, yaml)
	m.envoy = envoytest.Run(t, envoytest.Config{Node: "router~127.0.0.1~gw-0.istio-system~istio-system.svc.cluster.local", Socket: m.socket})
	return m
}

// newPlane starts the control plane alone.
func newPlane(t *testing.T, identity *xds.Identity, yaml string) *mesh {
	t.Helper()
	m := &mesh{t: t, builder: build.New(build.Options{}), socket: filepath.Join(t.TempDir(), "ads.sock")}
	m.engine = push.New(push.Options{Report: func(problems []model.Problem) {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.problems = problems
	}})
	m.feed = storetest.NewFeed(t, nil)
	m.apply(yaml)
	server := xds.New(xds.Options{Source: m.engine, Logger: slog.New(slog.DiscardHandler), RemovalGrace: time.Second})
	var authenticate xds.Authenticate
	if identity != nil {
		authenticate = func(context.Context) (xds.Identity, error) { return *identity, nil }
	}
	l, err := net.Listen("unix", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(grpc.ForceServerCodecV2(xds.Codec()))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(srv, server.Service(authenticate))
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Stop()
		server.Wait()
		<-done
	})
	return m
}

// apply hands over objects; a document that is only a key after "-" deletes.
func (m *mesh) apply(yaml string) {
	m.t.Helper()
	objects, problems := file.Decode([]byte(yaml), "input.yaml")
	if len(problems) > 0 {
		m.t.Fatal(problems)
	}
	for _, c := range m.feed.Edit(objects...) {
		if err := m.engine.Apply(m.t.Context(), push.Built(m.builder, c)); err != nil {
			m.t.Fatal(err)
		}
	}
}

// until waits for what has to come; missing tells what is not there yet.
func until(t *testing.T, what string, missing func() error) {
	t.Helper()
	end := time.Now().Add(deadline)
	for {
		err := missing()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%s: %v", what, err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// secret writes a Secret of the gateway's namespace; data are keys and their values.
func secret(name string, data ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: istio-system}\ndata:\n", name)
	for i := 0; i < len(data); i += 2 {
		fmt.Fprintf(&b, "  %s: %s\n", data[i], base64.StdEncoding.EncodeToString([]byte(data[i+1])))
	}
	return b.String()
}

// client speaks HTTPS to a port of loopback under any host's name, on connections that it keeps.
type client struct {
	http *http.Client
	port int
}

func newClient(t *testing.T, port int, trust *envoytest.Authority) *client {
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: trust.Roots()}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{&http.Client{
		Transport: transport, Timeout: 5 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}, port}
}

// get asks for a URL and gives the status and the body, with the serial number of the server's certificate.
func (c *client) get(url string) (status int, body string, serial int64, err error) {
	res, err := c.http.Get(url)
	if err != nil {
		return 0, "", 0, err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if res.TLS != nil {
		serial = res.TLS.PeerCertificates[0].SerialNumber.Int64()
	}
	return res.StatusCode, string(text), serial, err
}

// want asks for a URL until it is answered by a status and body.
func (c *client) want(t *testing.T, url string, status int, body string) {
	t.Helper()
	until(t, url, func() error {
		got, text, _, err := c.get(url)
		if err == nil && (got != status || !strings.Contains(text, body)) {
			err = fmt.Errorf("%d %q, want %d %q", got, text, status, body)
		}
		return err
	})
}

// explained says what becomes of a request for a host at a port of loopback, in TLS or in the clear, by what Envoy runs.
func (m *mesh) explained(port int, host string, inTLS bool) explain.Outcome {
	m.t.Helper()
	dump, err := explain.ParseDump([]byte(m.envoy.Get("/config_dump?include_eds")))
	if err != nil {
		m.t.Fatal(err)
	}
	r := explain.Request{
		Way: explain.Direct, Destination: netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(port)),
		Protocol: explain.HTTP11, Host: host, Path: "/",
	}
	if inTLS {
		r.TLS = &explain.TLS{SNI: host, ALPN: []string{"http/1.1"}}
	}
	return dump.Explain(r).Outcome
}

// goes tells whether a server gets what explain speaks of, and how it is spoken to there.
func goes(o *explain.Outcome) (tls string, status int, ok bool) {
	if o.Refused || o.Forward == nil {
		return "", o.Status, false
	}
	return o.Forward.Clusters[0].Endpoints[0].TLS, 200, true
}
