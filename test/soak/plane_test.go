package soak

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/pprof"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/pilot/discovery"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
	"github.com/pilothouse-mesh/pilothouse/test/identitytest"
)

// patience is how long anything may take. It is far away from what it takes, also on a busy machine: who waits so
// long waits for ever.
const patience = 3 * time.Minute

// plane is the control plane.
type plane struct {
	t      *testing.T
	cfg    discovery.Config
	bearer string
	client *http.Client
}

// start runs a control plane until stop is called.
func start(t *testing.T, dirs []string) (p *plane, stop func()) {
	t.Helper()
	bearer, jwks := identitytest.Token(t, "ns-0", "soak")
	addr := func() string { return fmt.Sprintf("127.0.0.1:%d", envoytest.FreePort(t)) }
	p = &plane{t: t, bearer: bearer, client: &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}, cfg: discovery.Config{
		ConfigDirs: dirs, Domain: "cluster.local", ClusterID: "Kubernetes", Name: "soak", Version: "soak", Logger: slog.New(slog.DiscardHandler),
		GRPCAddr: addr(), SecureGRPCAddr: addr(), HTTPAddr: addr(), MonitoringAddr: addr(), RemovalGrace: time.Second,
		CADir: t.TempDir(), TokenJWKS: jwks, TokenIssuer: identitytest.Issuer, TokenAudiences: []string{identitytest.Audience},
	}}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- discovery.Run(ctx, p.cfg) }()
	envoytest.Eventually(t, "ready", func() bool {
		code, _, err := p.get(t.Context(), "http://"+p.cfg.HTTPAddr+"/ready")
		return err == nil && code == http.StatusOK
	})
	return p, func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(patience):
			t.Error("the control plane does not end\n" + goroutines())
		}
		p.client.CloseIdleConnections()
	}
}

func (p *plane) get(ctx context.Context, url string) (code int, body []byte, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	resp, err := p.client.Do(r)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp.StatusCode, body, err
}

// dial connects one client: proven ones over TLS, with a token of ns-0.
func (p *plane) dial(proven bool) *grpc.ClientConn {
	p.t.Helper()
	addr, opts := p.cfg.GRPCAddr, []grpc.DialOption{grpc.WithTransportCredentials(insecure.NewCredentials())}
	if proven {
		addr = p.cfg.SecureGRPCAddr
		opts = []grpc.DialOption{
			grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{InsecureSkipVerify: true})), // it is this process
			grpc.WithStreamInterceptor(func(ctx context.Context, d *grpc.StreamDesc, c *grpc.ClientConn, method string, stream grpc.Streamer, o ...grpc.CallOption) (grpc.ClientStream, error) {
				return stream(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+p.bearer), d, c, method, o...)
			}),
		}
	}
	conn, err := grpc.NewClient(addr, opts...)
	if err != nil {
		p.t.Fatal(err)
	}
	return conn
}

// ask asks for pages, one after the other, until ctx ends.
func (p *plane) ask(ctx context.Context, pages []string, answered *atomic.Int64) error {
	for i := 0; ctx.Err() == nil; i++ {
		url := pages[i%len(pages)]
		code, body, err := p.get(ctx, url)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", url, err)
		case code >= 500 || len(body) == 0 && code != http.StatusOK:
			return fmt.Errorf("%s: %d %.200s", url, code, body)
		}
		answered.Add(1)
	}
	return nil
}

// pages are all that a control plane has, some about a proxy.
func (p *plane) pages(proxy string) []string {
	out := []string{"http://" + p.cfg.HTTPAddr + "/ready", "http://" + p.cfg.MonitoringAddr + "/metrics", "http://" + p.cfg.MonitoringAddr + "/version"}
	for _, page := range []string{
		"syncz", "pilothouse/syncz", "config_dump?proxyID=" + proxy, "pilothouse/tls?proxyID=" + proxy, "pilothouse/roots", "connections",
		"endpointz", "endpointShardz", "pilothouse/endpointz?namespace=ns-0", "pilothouse/objects", "pilothouse/proxies", "problems",
		"clusterz", "mesh", "list", "dashboard/", "pprof/",
	} {
		out = append(out, "http://"+p.cfg.HTTPAddr+"/debug/"+page)
	}
	return out
}

// askADS asks as Istio's tools do, on a stream of its own for each question. A connection may be cut where the machine
// is too busy for its pings, and is made again.
func (p *plane) askADS(ctx context.Context, conn *grpc.ClientConn, answered *atomic.Int64) error {
	for last := time.Now(); ctx.Err() == nil; pause(ctx, 20*time.Millisecond) {
		switch err := question(ctx, conn); {
		case err == nil:
			last = time.Now()
			answered.Add(1)
		case status.Code(err) != codes.Unavailable && ctx.Err() == nil, time.Since(last) > patience:
			return fmt.Errorf("a question over ADS: %w", err)
		}
	}
	return nil
}

func question(ctx context.Context, conn *grpc.ClientConn) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	w, err := openStateOfTheWorld(ctx, conn, nil)
	if err != nil {
		return err
	}
	if err := w.send(request{url: "istio.io/debug", all: []string{"config_dump?proxyID=soak-0.ns-0"}}); err != nil {
		return err
	}
	_, err = w.recv()
	return err
}

// goroutines tells what all do, those that do the same together.
func goroutines() string {
	var b bytes.Buffer
	if err := pprof.Lookup("goroutine").WriteTo(&b, 1); err != nil {
		return err.Error()
	}
	return b.String()
}
