package tap

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"sync"
	"testing"
	"time"

	datav3 "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslogv3 "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/proto"
)

// admin notes what Envoy's runtime is told.
type admin struct {
	mu     sync.Mutex
	values []string
	told   chan string
}

func (a *admin) set(_ context.Context, key, value string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.values) == 0 || a.values[len(a.values)-1] != value {
		a.values = append(a.values, value)
		a.told <- key + "=" + value
	}
	return nil
}

// start runs a Tap, and gives how to watch and a stream as Envoy's.
func start(t *testing.T) (*admin, *Tap, string, accesslogv3.AccessLogService_StreamAccessLogsClient) {
	t.Helper()
	a := &admin{told: make(chan string, 100)}
	socket := filepath.Join(t.TempDir(), "TAP")
	tap := New(Config{SocketPath: socket, SetRuntime: a.set, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- tap.Run(ctx) }()
	srv := httptest.NewServer(tap)
	conn, err := grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = conn.Close() // the end of the test
		srv.Close()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	stream, err := accesslogv3.NewAccessLogServiceClient(conn).StreamAccessLogs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return a, tap, srv.URL, stream
}

func entry(path string) *accesslogv3.StreamAccessLogsMessage {
	return &accesslogv3.StreamAccessLogsMessage{LogEntries: &accesslogv3.StreamAccessLogsMessage_HttpLogs{
		HttpLogs: &accesslogv3.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: []*datav3.HTTPAccessLogEntry{{
			Request: &datav3.HTTPRequestProperties{Path: path},
		}}},
	}}
}

func watch(t *testing.T, url string) (*http.Response, context.CancelFunc) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	return resp, cancel
}

func (a *admin) await(t *testing.T, want string) {
	t.Helper()
	select {
	case got := <-a.told:
		if got != want {
			t.Fatalf("Envoy's runtime is told %s, want %s", got, want)
		}
	case <-time.After(time.Minute):
		t.Fatalf("Envoy's runtime is not told %s", want)
	}
}

// TestEnvoyLogsWhileSomebodyWatches has two who watch: the runtime is raised by the first and lowered after
// the last, however that one goes.
func TestEnvoyLogsWhileSomebodyWatches(t *testing.T) {
	a, _, url, envoy := start(t)
	one, leave := watch(t, url)
	a.await(t, "pilothouse.tap_from_status=0")
	_, leaveToo := watch(t, url)
	if err := envoy.Send(entry("/x")); err != nil {
		t.Fatal(err)
	}
	in := bufio.NewReader(one.Body)
	var size uint64
	for size == 0 { // signs of life
		var err error
		if size, err = binary.ReadUvarint(in); err != nil {
			t.Fatal(err)
		}
		if size == 0 {
			if _, err := in.ReadByte(); err != nil {
				t.Fatal(err)
			}
		}
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(in, data); err != nil {
		t.Fatal(err)
	}
	var got accesslogv3.StreamAccessLogsMessage
	if err := proto.Unmarshal(data, &got); err != nil || !proto.Equal(&got, entry("/x")) {
		t.Errorf("got %v, %v", &got, err)
	}
	leave()
	leaveToo()
	a.await(t, "pilothouse.tap_from_status=1000")
}

func TestFewWatch(t *testing.T) {
	_, _, url, _ := start(t)
	for range maxWatchers {
		if resp, _ := watch(t, url); resp.StatusCode != http.StatusOK {
			t.Fatal(resp.Status)
		}
	}
	if resp, _ := watch(t, url); resp.StatusCode != http.StatusTooManyRequests {
		t.Errorf("one more: %s", resp.Status)
	}
	resp, err := http.Post(url, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST: %s", resp.Status)
	}
}

// TestASlowReaderLosesMessages fills the queue of one who does not read: nobody waits, and it is told.
func TestASlowReaderLosesMessages(t *testing.T) {
	tap := New(Config{})
	slow, quick := &watcher{messages: make(chan []byte, queue)}, &watcher{messages: make(chan []byte, queue+5)}
	tap.join(slow)
	tap.join(quick)
	for range queue + 5 {
		tap.pass([]byte("m"))
	}
	if len(slow.messages) != queue || len(quick.messages) != queue+5 {
		t.Errorf("%d and %d wait", len(slow.messages), len(quick.messages))
	}
	if got, want := tap.frame(slow, <-slow.messages), []byte{0, 5, 1, 'm'}; !bytes.Equal(got, want) {
		t.Errorf("frame %v, want %v", got, want)
	}
	if got, want := tap.frame(slow, <-slow.messages), []byte{1, 'm'}; !bytes.Equal(got, want) {
		t.Errorf("the next frame %v, want %v", got, want)
	}
}
