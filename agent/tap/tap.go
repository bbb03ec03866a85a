// Package tap lets a tool in the pod watch the requests that Envoy handles, as they end. The control plane
// gives each listener a logger that sends to this package's Unix socket by Envoy's access log service, behind
// a runtime value that no request reaches unless somebody watches. So watching changes no listener, and costs nothing
// while nobody does. Messages are passed on as they come; who watches knows what is in them. The log of the bytes
// of TCP connections comes by the same socket, all the time, and is for agent/connections.
package tap

import (
	"context"
	"encoding/binary"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/agent/connections"
	"github.com/pilothouse-mesh/pilothouse/agent/uds"
	"github.com/pilothouse-mesh/pilothouse/proto/telemetry"
)

const (
	// Path is where the agent's status server has the stream.
	Path = "/debug/tap"
	// ContentType of the stream: for each message its length as a varint and its bytes, which are an
	// envoy.service.accesslog.v3.StreamAccessLogsMessage. A length of 0 is followed by a varint that says how
	// many messages were left out, since the reader was too slow for them.
	ContentType = "application/vnd.pilothouse.tap"

	// maxWatchers bounds who watches at a time, queue the messages that wait for each, maxQueued their bytes:
	// Envoy sends what it has once that is 16 KB, so that one request can make it larger.
	maxWatchers = 4
	queue       = 64
	maxQueued   = 256 << 10
	// maxMessage bounds one that is read. What Envoy has of connections grows while the agent stands still, and a
	// message that is refused takes the ends of all these with it.
	maxMessage = 4 << 20
	// again is how often the runtime value is set while somebody watches: an Envoy that was started again has
	// lost it.
	again = 2 * time.Second
	// longest is when a stream ends, so that one whose reader is gone without a trace does not stay. A reader
	// that wants more comes again.
	longest = 5 * time.Minute
)

// Config is what a Tap needs.
type Config struct {
	// SocketPath of the Unix socket; its directory is made, a stale socket replaced.
	SocketPath string
	// SetRuntime sets a value of Envoy's runtime.
	SetRuntime func(ctx context.Context, key, value string) error
	// Connections takes what is about TCP connections.
	Connections *connections.Counter
	Logger      *slog.Logger
}

// Tap joins Envoy's log to those who watch.
type Tap struct {
	cfg Config

	setting sync.Mutex // one change of the runtime at a time

	mu       sync.Mutex
	watchers map[*watcher]bool
}

// watcher is one who watches.
type watcher struct {
	messages chan []byte
	left     uint64 // messages that were left out since the last that was told
}

// New gives a Tap; Run makes it listen.
func New(cfg Config) *Tap { return &Tap{cfg: cfg, watchers: map[*watcher]bool{}} }

// Run serves Envoy until ctx ends.
func (t *Tap) Run(ctx context.Context) error {
	srv := grpc.NewServer(grpc.ForceServerCodecV2(codec{}), grpc.MaxRecvMsgSize(maxMessage), grpc.WaitForHandlers(true))
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: "envoy.service.accesslog.v3.AccessLogService", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "StreamAccessLogs", ClientStreams: true, Handler: t.receive}},
	}, t)
	return uds.Serve(ctx, t.cfg.SocketPath, srv)
}

// receive takes what Envoy logs until the stream ends.
func (t *Tap) receive(_ any, stream grpc.ServerStream) error {
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err != nil {
			return status.Error(codes.Canceled, "the log has ended") // there is nobody to tell more
		}
		if connections.IsLog(message) {
			t.cfg.Connections.Take(message)
		} else {
			t.pass(message)
		}
	}
}

// pass gives a message to all who watch and have room for it.
func (t *Tap) pass(message []byte) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for w := range t.watchers {
		if len(message) > maxQueued {
			w.left++
			continue
		}
		select {
		case w.messages <- message:
		default:
			w.left++
		}
	}
}

// ServeHTTP lets a caller watch until it goes away. Who may call is the server's to decide.
func (t *Tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		http.Error(w, "tap takes GET", http.StatusMethodNotAllowed)
		return
	}
	me := &watcher{messages: make(chan []byte, queue)}
	if !t.join(me) {
		http.Error(w, "too many watch this pod already", http.StatusTooManyRequests)
		return
	}
	defer t.leave(me)
	ctx, cancel := context.WithTimeout(r.Context(), longest)
	defer cancel()
	if err := t.set(ctx); err != nil {
		http.Error(w, err.Error(), http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", ContentType)
	out := http.NewResponseController(w)
	if out.Flush() != nil {
		return
	}
	tick := time.NewTicker(again)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := t.set(ctx); err != nil {
				t.cfg.Logger.Debug("tap: runtime not set", "error", err)
			}
			// A caller that has gone without a word is noticed when it is written to.
			if _, err := w.Write([]byte{0, 0}); err != nil || out.Flush() != nil {
				return
			}
		case message := <-me.messages:
			if _, err := w.Write(t.frame(me, message)); err != nil || out.Flush() != nil {
				return
			}
		}
	}
}

// frame is a message as it goes over the wire, after word of those that were left out.
func (t *Tap) frame(w *watcher, message []byte) []byte {
	t.mu.Lock()
	left := w.left
	w.left = 0
	t.mu.Unlock()
	var out []byte
	if left > 0 {
		out = binary.AppendUvarint(append(out, 0), left)
	}
	return append(binary.AppendUvarint(out, uint64(len(message))), message...)
}

func (t *Tap) join(w *watcher) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.watchers) == maxWatchers {
		return false
	}
	t.watchers[w] = true
	return true
}

// leave ends the logging with the last who watched, also where that one's connection is gone.
func (t *Tap) leave(w *watcher) {
	t.mu.Lock()
	delete(t.watchers, w)
	t.mu.Unlock()
	if err := t.set(context.Background()); err != nil {
		t.cfg.Logger.Warn("tap: Envoy goes on with logging to nobody", "error", err)
	}
}

// set tells Envoy whether somebody watches. It asks for that under a lock, so that the last word is true.
func (t *Tap) set(ctx context.Context) error {
	t.setting.Lock()
	defer t.setting.Unlock()
	t.mu.Lock()
	value := telemetry.TapNone
	if len(t.watchers) > 0 {
		value = telemetry.TapAll
	}
	t.mu.Unlock()
	return t.cfg.SetRuntime(ctx, telemetry.TapRuntime, strconv.Itoa(value))
}
