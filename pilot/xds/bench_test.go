package xds

import (
	"context"
	"fmt"
	"net"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/proto/seen"
	"github.com/pilothouse-mesh/pilothouse/test/xdstest"
)

const (
	benchClients  = 200
	benchServices = 1000
)

// shared is a translator whose classes have the same sets.
type shared struct {
	xdstest.Table
	made build.Result
}

func (s shared) Result(*resolve.Class) build.Result { return s.made }

// sets are a thousand clusters with their load assignments, of which the first has a port.
func sets(b *testing.B) func(port uint32) build.Result {
	b.Helper()
	made := func(m xdstest.Message) *resource.Resource {
		r, err := resource.New(m.Type, m.Name, m.Body)
		if err != nil {
			b.Fatal(err)
		}
		return r
	}
	var clusters, assignments []*resource.Resource
	for i := range benchServices {
		name := fmt.Sprintf("outbound|80||service-%d.some-namespace.svc.cluster.local", i)
		clusters = append(clusters, made(cluster(name+strings.Repeat("x", 700), 1)), made(cluster(name, 1)))
		assignments = append(assignments, made(xdstest.Assignment(name, 80)))
	}
	var base build.Result
	base.Sets[resource.Clusters] = resource.NewSet(clusters...)
	return func(port uint32) build.Result {
		assignments[0] = made(xdstest.Assignment(assignments[0].Name, port))
		base.Sets[resource.Endpoints] = resource.NewSet(assignments...)
		return base
	}
}

// raw takes messages as bytes.
type raw struct{ b []byte }

type rawCodec struct{}

func (rawCodec) Name() string { return "proto" }

func (rawCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.(*raw).b)}, nil
}

func (rawCodec) Unmarshal(data mem.BufferSlice, v any) error {
	v.(*raw).b = data.Materialize()
	return nil
}

// proxies are delta clients that acknowledge whatever comes, with a connection of their own each.
type proxies struct {
	b       *testing.B
	address string
	first   [][]byte // what each asks for at the beginning
	says    []string // names and values of headers
	conns   []*grpc.ClientConn
	acked   chan resource.Type // for each acknowledgement
	done    sync.WaitGroup
}

func (p *proxies) connect(n int) {
	p.b.Helper()
	for i := range n {
		conn, err := grpc.NewClient(p.address, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rawCodec{}), grpc.MaxCallRecvMsgSize(1<<30)))
		if err != nil {
			p.b.Fatal(err)
		}
		p.conns = append(p.conns, conn)
		stream, err := conn.NewStream(metadata.AppendToOutgoingContext(context.Background(), p.says...), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
			discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResources_FullMethodName)
		if err != nil {
			p.b.Fatal(err)
		}
		for _, m := range p.first {
			node := wireOf(p.b, &discoveryv3.DeltaDiscoveryRequest{Node: &corev3.Node{Id: fmt.Sprintf("sidecar~10.0.0.1~p%d.ns~ns.svc.cluster.local", i)}})
			if err := stream.SendMsg(&raw{append(node, m...)}); err != nil {
				p.b.Fatal(err)
			}
		}
		p.done.Go(func() { p.acknowledge(stream) })
	}
}

func (p *proxies) acknowledge(stream grpc.ClientStream) {
	for {
		var m raw
		if stream.RecvMsg(&m) != nil {
			return
		}
		var url, nonce []byte
		for number, value := range elements(m.b) {
			switch number {
			case fieldURL:
				url = value
			case fieldNonce:
				nonce = value
			}
		}
		ack := protowire.AppendBytes(protowire.AppendTag(nil, deltaFields.url, protowire.BytesType), url)
		ack = protowire.AppendBytes(protowire.AppendTag(ack, deltaFields.nonce, protowire.BytesType), nonce)
		if stream.SendMsg(&raw{ack}) != nil {
			return
		}
		t, _ := resource.ByURL(string(url))
		p.acked <- t
	}
}

func (p *proxies) disconnect() {
	for _, c := range p.conns {
		c.Close()
	}
	p.done.Wait()
	p.conns = nil
}

// await waits until all have acknowledged a number of responses.
func (p *proxies) await(n int) {
	for range n * len(p.conns) {
		<-p.acked
	}
}

// benched is a server with its engine on a port.
type benched struct {
	*proxies
	engine *push.Engine
	server *Server
	base   func(uint32) build.Result
	port   uint32
	seen   map[string]string // of the API server
}

func newBenched(b *testing.B) *benched {
	s := &benched{engine: push.New(push.Options{}), base: sets(b), seen: map[string]string{}}
	s.server = New(Options{Source: s.engine, Logger: discard})
	s.proxies = &proxies{b: b, acked: make(chan resource.Type, 1<<16)}
	s.change()
	s.address = s.serve(b, s.server.Service(nil))
	return s
}

func (s *benched) serve(b *testing.B, service discoveryv3.AggregatedDiscoveryServiceServer) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	g := grpc.NewServer(grpc.ForceServerCodecV2(Codec()), grpc.ReadBufferSize(1024), grpc.WriteBufferSize(16384),
		grpc.StaticStreamWindowSize(256<<10), grpc.StaticConnWindowSize(256<<10))
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(g, service)
	done := make(chan error, 1)
	go func() { done <- g.Serve(l) }()
	b.Cleanup(func() {
		s.disconnect()
		g.Stop()
		s.server.Wait()
		<-done
	})
	return l.Addr().String()
}

// change gives one load assignment another port.
func (s *benched) change() {
	s.port++
	if err := s.engine.Apply(context.Background(), push.Commit{Translator: shared{made: s.base(s.port)}, Since: time.Now(), Seen: seen.Of(s.seen)}); err != nil {
		s.b.Fatal(err)
	}
}

func (s *benched) ask(t resource.Type, names []string, claims map[string]string) {
	s.first = append(s.first, wireOf(s.b, &discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: t.URL(), ResourceNamesSubscribe: names, InitialResourceVersions: claims,
	}))
}

// everything asks for all clusters and all load assignments; holding says that the clients have them.
func (s *benched) everything(held bool) {
	var names []string
	claims := [2]map[string]string{{}, {}}
	for i, t := range []resource.Type{resource.Clusters, resource.Endpoints} {
		for r := range s.base(s.port).Sets[t].All() {
			if t == resource.Endpoints {
				names = append(names, r.Name)
			}
			if held {
				claims[i][r.Name] = r.Version
			}
		}
	}
	s.ask(resource.Clusters, nil, claims[0])
	s.ask(resource.Endpoints, names, claims[1])
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measured runs f in a loop and reports the CPU time and allocations that it takes for each client,
// those of the clients themselves included.
func (s *benched) measured(f func()) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := cpu(s.b)
	for s.b.Loop() {
		f()
	}
	took := cpu(s.b) - began
	runtime.ReadMemStats(&after)
	n := float64(s.b.N) * benchClients
	s.b.ReportMetric(float64(took.Nanoseconds())/n, "cpu-ns/client")
	s.b.ReportMetric(float64(after.Mallocs-before.Mallocs)/n, "allocs/client")
	s.b.ReportMetric(float64(after.TotalAlloc-before.TotalAlloc)/n, "B/client")
}

// BenchmarkPush sends one changed load assignment to all clients; compare BenchmarkPushFloor.
func BenchmarkPush(b *testing.B) { newBenched(b).push() }

// BenchmarkPushSeen does so to clients that are told what was seen of 40 kinds, of which one has changed.
func BenchmarkPushSeen(b *testing.B) {
	s := newBenched(b)
	s.says = []string{seen.Header, ""}
	s.address = s.serve(b, s.server.Service(func(context.Context) (Identity, error) { return Identity{Namespace: "ns", ServiceAccount: "app"}, nil }))
	s.push()
}

func (s *benched) push() {
	for i := range 40 {
		s.seen[fmt.Sprintf("kind%d.networking.istio.io", i)] = "1000000000"
	}
	s.everything(false)
	s.connect(benchClients)
	s.await(1 + s.chunks())
	s.measured(func() {
		s.seen["kind7.networking.istio.io"] = strconv.Itoa(1_000_000_000 + int(s.port))
		s.change()
		s.await(1)
	})
}

func (s *benched) chunks() int {
	return len(s.base(s.port).Sets[resource.Endpoints].Lookup(nil).Blocks)
}

// floor is a server that sends a response to whom it knows, and nothing else.
type floor struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	mu      sync.Mutex
	streams []grpc.ServerStream
	joined  chan struct{}
}

func (f *floor) DeltaAggregatedResources(st discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	f.mu.Lock()
	f.streams = append(f.streams, st)
	f.mu.Unlock()
	f.joined <- struct{}{}
	for {
		if err := st.RecvMsg(&request{delta: true}); err != nil {
			return err
		}
	}
}

// BenchmarkPushFloor is what gRPC itself takes for the same.
func BenchmarkPushFloor(b *testing.B) {
	s := newBenched(b)
	f := &floor{joined: make(chan struct{}, benchClients)}
	s.address = s.serve(b, f)
	s.ask(resource.Clusters, nil, nil)
	s.connect(benchClients)
	for range benchClients {
		<-f.joined
	}
	s.measured(func() {
		s.change()
		first := resource.NewSet(s.base(s.port).Sets[resource.Endpoints].Lookup(nil).Blocks[0].Resources[0])
		var sent sync.WaitGroup
		for _, st := range f.streams {
			sent.Go(func() {
				r := &response{typ: resource.Endpoints, delta: true, version: first.Version(), stream: s.server.boot, nonce: 1, blocks: first.Lookup(nil).Blocks}
				if err := st.SendMsg(r); err != nil {
					b.Error(err)
				}
			})
		}
		sent.Wait()
		s.await(1)
	})
}

// BenchmarkReconnect lets all clients come back with everything, so that nothing is sent.
func BenchmarkReconnect(b *testing.B) { benchConnect(b, true) }

// BenchmarkColdStart lets all clients come with nothing.
func BenchmarkColdStart(b *testing.B) { benchConnect(b, false) }

func benchConnect(b *testing.B, held bool) {
	s := newBenched(b)
	s.everything(held)
	s.measured(func() {
		s.connect(benchClients)
		if !held {
			s.await(1 + s.chunks())
		}
		for synced := 0; synced < benchClients; runtime.Gosched() {
			synced = 0
			for _, st := range s.server.allStreams() {
				st.mu.Lock()
				if w := st.watches[resource.Endpoints]; w != nil && w.idle() {
					synced++
				}
				st.mu.Unlock()
			}
		}
		s.disconnect()
		for len(s.server.allStreams()) > 0 {
			runtime.Gosched()
		}
	})
}

// BenchmarkIdleStream tells what a stream that has everything keeps in memory, with both ends of
// its connection; compare BenchmarkIdleStreamFloor.
func BenchmarkIdleStream(b *testing.B) {
	s := newBenched(b)
	s.everything(false)
	s.idle(func() {
		s.await(1 + s.chunks())
		s.change()
		s.await(1)
	})
}

// BenchmarkIdleStreamFloor tells what gRPC itself keeps.
func BenchmarkIdleStreamFloor(b *testing.B) {
	s := newBenched(b)
	s.everything(false)
	f := &floor{joined: make(chan struct{}, benchClients)}
	s.address = s.serve(b, f)
	s.idle(func() {
		for range benchClients {
			<-f.joined
		}
	})
}

// idle reports the memory of streams after a start.
func (s *benched) idle(start func()) {
	used := func() float64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.GC() // the first clears pools only
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc+m.StackInuse) / benchClients
	}
	for s.b.Loop() {
		before := used()
		s.connect(benchClients)
		start()
		s.b.ReportMetric(used()-before, "B/stream")
		s.disconnect()
		for len(s.server.allStreams()) > 0 {
			runtime.Gosched()
		}
	}
}
