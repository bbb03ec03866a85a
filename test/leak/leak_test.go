// Package leak checks that a control plane ends up where it began: after a hundred cycles in which
// objects and clients come and go it has no more goroutines and no more memory than before.
package leak

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/pilothouse-mesh/pilothouse/pilot/discovery"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const (
	cycles   = 100
	services = 20
	clients  = 4
	// Objects have one of so many sets of names, so that what is kept by name until it is swept out
	// has reached its size after the first ones; every client has a name of its own.
	names = 10
	// heapTolerance is in bytes: a quarter of what the views of each cycle would take, and 1 KiB for
	// each client, since push remembers what a client may run whose stream broke (push bounds the
	// number of these). No goroutine may stay.
	heapTolerance = 1<<20 + cycles*clients<<10
)

const service = `
apiVersion: v1
kind: Service
metadata: {name: s%[1]d-%[2]d, namespace: default}
spec: {clusterIP: 10.96.%[1]d.%[3]d, selector: {app: s%[2]d}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Pod
metadata: {name: p%[1]d-%[2]d, namespace: default, labels: {app: s%[2]d}}
spec: {serviceAccountName: sa, containers: [{name: app, image: x}]}
status: {podIP: 10.1.%[1]d.%[3]d, phase: Running, conditions: [{type: Ready, status: "True"}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v%[1]d-%[2]d, namespace: default}
spec: {hosts: [s%[1]d-%[2]d], http: [{timeout: %[3]ds, route: [{destination: {host: s%[1]d-%[2]d}}]}]}
---
`

func TestNothingIsLeft(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n")
	addr := func() string { return fmt.Sprintf("127.0.0.1:%d", envoytest.FreePort(t)) }
	cfg := discovery.Config{
		ConfigDirs: []string{dir}, Domain: "cluster.local", ClusterID: "Kubernetes", GRPCAddr: addr(), HTTPAddr: addr(),
		Name: "test", Version: "test", Logger: slog.New(slog.DiscardHandler),
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- discovery.Run(ctx, cfg) }()
	defer func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}()
	waitFor(t, cfg.GRPCAddr)
	for i := range 2 * names { // what is made once
		cycle(t, dir, cfg.GRPCAddr, -1-i)
	}
	heap, goroutines := settled(t, 0, 0)
	for i := range cycles {
		cycle(t, dir, cfg.GRPCAddr, i)
	}
	afterHeap, afterGoroutines := settled(t, heap, goroutines)
	t.Logf("heap %d KiB, then %d KiB; goroutines %d, then %d", heap>>10, afterHeap>>10, goroutines, afterGoroutines)
	if afterHeap > heap+heapTolerance {
		t.Errorf("heap: %d KiB before, %d KiB after %d cycles", heap>>10, afterHeap>>10, cycles)
	}
	if afterGoroutines > goroutines {
		t.Errorf("goroutines: %d before, %d after", goroutines, afterGoroutines)
	}
}

// cycle makes objects and clients, waits until the clients have them, and takes all away.
func cycle(t *testing.T, dir, addr string, i int) {
	t.Helper()
	set := (i + 2*names) % names
	var text strings.Builder
	for n := range services {
		fmt.Fprintf(&text, service, set, n, n+1)
	}
	write(t, dir, text.String())
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	last := fmt.Sprintf("outbound|80||s%d-%d.default.svc.cluster.local", set, services-1)
	for n := range clients {
		stream, err := discoveryv3.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
		if err != nil {
			t.Fatal(err)
		}
		node := &corev3.Node{Id: fmt.Sprintf("sidecar~10.0.%d.%d~c%d-%d.default~default.svc.cluster.local", set, n+1, i, n)}
		for _, typ := range []resource.Type{resource.Clusters, resource.Listeners, resource.NameTables} {
			if err := stream.Send(&discoveryv3.DeltaDiscoveryRequest{Node: node, TypeUrl: typ.URL()}); err != nil {
				t.Fatal(err)
			}
		}
		await(t, stream, last)
	}
	write(t, dir, "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n")
}

// await acknowledges what comes until a cluster is there.
func await(t *testing.T, s discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesClient, name string) {
	t.Helper()
	for {
		r, err := s.Recv()
		if err != nil {
			t.Fatalf("waiting for %s: %v", name, err)
		}
		if err := s.Send(&discoveryv3.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()}); err != nil {
			t.Fatal(err)
		}
		for _, res := range r.GetResources() {
			if res.GetName() == name {
				return
			}
		}
	}
}

func write(t *testing.T, dir, text string) {
	t.Helper()
	part := filepath.Join(dir, ".part")
	if err := os.WriteFile(part, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(part, filepath.Join(dir, "mesh.yaml")); err != nil {
		t.Fatal(err)
	}
}

func waitFor(t *testing.T, addr string) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		conn, err := net.Dial("tcp", addr)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// settled gives heap and goroutines once they are back within tolerance of the former, or do not
// come back for fifteen seconds: a busy machine takes a while to close what was left.
func settled(t *testing.T, heap uint64, goroutines int) (uint64, int) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	var m runtime.MemStats
	for i := range 150 {
		<-tick.C
		runtime.GC()
		runtime.ReadMemStats(&m)
		if heap == 0 && i == 50 || heap > 0 && m.HeapAlloc <= heap+heapTolerance && runtime.NumGoroutine() <= goroutines {
			break
		}
	}
	return m.HeapAlloc, runtime.NumGoroutine()
}
