package xds

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

// plane is a server that a real Envoy talks to; it can be restarted at its socket, and cut its
// stream instead of sending a type.
type plane struct {
	t        *testing.T
	socket   string
	messages []xdstest.Message

	engine *push.Engine
	server *Server
	grpc   *grpc.Server
	done   chan error

	cutting atomic.Int32 // the type whose next response cuts the stream, plus one; 0 for none
	cuts    atomic.Int32
	mu      sync.Mutex
	wrong   []model.Problem
}

func newPlane(t *testing.T, messages ...xdstest.Message) *plane {
	p := &plane{t: t, socket: filepath.Join(t.TempDir(), "ads.sock"), messages: messages}
	p.start()
	t.Cleanup(p.stop)
	return p
}

func (p *plane) start() {
	p.t.Helper()
	p.engine = push.New(push.Options{Report: func(problems []model.Problem) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.wrong = problems
	}})
	p.server = New(Options{Source: p.engine, Logger: discard, RemovalGrace: 300 * time.Millisecond})
	p.set(p.messages...)
	l, err := net.Listen("unix", p.socket)
	if err != nil {
		p.t.Fatal(err)
	}
	p.grpc = grpc.NewServer(grpc.ForceServerCodecV2(Codec()), grpc.StreamInterceptor(p.intercept))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(p.grpc, p.server.Service(nil))
	p.done = make(chan error, 1)
	go func() { p.done <- p.grpc.Serve(l) }()
}

func (p *plane) stop() {
	p.grpc.Stop()
	p.server.Wait()
	<-p.done
}

func (p *plane) set(messages ...xdstest.Message) {
	p.t.Helper()
	p.messages = messages
	if err := p.engine.Apply(context.Background(), push.Commit{Translator: xdstest.Table(messages), Since: time.Now()}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *plane) problems() []model.Problem {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.wrong
}

func (p *plane) intercept(srv any, ss grpc.ServerStream, _ *grpc.StreamServerInfo, handler grpc.StreamHandler) error {
	return handler(srv, cutter{ss, p})
}

// cut breaks the stream where a response of the type would be sent.
func (p *plane) cut(t resource.Type) { p.cutting.Store(int32(t) + 1) }

type cutter struct {
	grpc.ServerStream
	p *plane
}

func (c cutter) SendMsg(m any) error {
	if r, ok := m.(*response); ok && c.p.cutting.CompareAndSwap(int32(r.typ)+1, 0) {
		c.p.cuts.Add(1)
		return status.Error(codes.Aborted, "cut by the test")
	}
	return c.ServerStream.SendMsg(m)
}
