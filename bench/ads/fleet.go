package ads

import (
	"context"
	"crypto/tls"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// Options of a Fleet.
type Options struct {
	Nodes  []Node
	TLS    *tls.Config // nil for plaintext
	Logger *slog.Logger
}

// Fleet is many clients of one server.
type Fleet struct {
	opts    Options
	memory  *memory
	clients []*Client
	last    atomic.Int64 // of the last acknowledgement, Unix ns

	marksMu sync.RWMutex
	marks   map[target]*Mark
	marked  atomic.Int64

	gateMu  sync.Mutex
	stalled int           // one client in so many does not read; 0 for none
	resume  chan struct{} // closed when all read again

	stop    context.CancelFunc
	running sync.WaitGroup
}

// New makes a fleet that is not connected.
func New(o Options) *Fleet {
	f := &Fleet{opts: o, memory: newMemory(), marks: map[target]*Mark{}, resume: make(chan struct{})}
	for i, n := range o.Nodes {
		f.clients = append(f.clients, newClient(f, i, n))
	}
	return f
}

// Len gives the number of clients.
func (f *Fleet) Len() int { return len(f.clients) }

// Connect lets all clients connect to an address, and again whenever a stream ends, until
// Disconnect. Clients that hold state from before say so.
func (f *Fleet) Connect(ctx context.Context, address string) {
	ctx, f.stop = context.WithCancel(ctx)
	for _, c := range f.clients {
		f.running.Go(func() { f.keep(ctx, c, address) })
	}
}

// Disconnect ends all streams and connections and waits for that.
func (f *Fleet) Disconnect() {
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
	f.running.Wait()
}

// keep keeps one client connected.
func (f *Fleet) keep(ctx context.Context, c *Client, address string) {
	conn, err := grpc.NewClient("passthrough:///"+address, f.dialOptions(c)...)
	if err != nil {
		f.opts.Logger.Error("client cannot connect", "client", c.index, "error", err)
		return
	}
	defer conn.Close()
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := c.run(ctx, conn)
		if ctx.Err() != nil {
			return
		}
		f.opts.Logger.Debug("stream ended", "client", c.index, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (f *Fleet) dialOptions(c *Client) []grpc.DialOption {
	out := []grpc.DialOption{
		grpc.WithDefaultCallOptions(
			grpc.ForceCodecV2(Codec{}), grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.WaitForReady(true),
		),
		grpc.WithReadBufferSize(16 << 10), grpc.WithWriteBufferSize(4 << 10),
	}
	if f.opts.TLS == nil {
		return append(out, grpc.WithTransportCredentials(insecure.NewCredentials()))
	}
	return append(out, grpc.WithTransportCredentials(credentials.NewTLS(f.opts.TLS)), grpc.WithPerRPCCredentials(token(c.node.Token)))
}

// token goes with each stream.
type token string

// GetRequestMetadata gives the header.
func (t token) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(t)}, nil
}

// RequireTransportSecurity is true: a token is a secret.
func (token) RequireTransportSecurity() bool { return true }

func (f *Fleet) active(now time.Time) { f.last.Store(now.UnixNano()) }

// LastActive is when a client acknowledged something for the last time.
func (f *Fleet) LastActive() time.Time { return time.Unix(0, f.last.Load()) }

// Forget lets the clients start from nothing on their next connection.
func (f *Fleet) Forget() {
	for i, c := range f.clients {
		f.clients[i] = newClient(f, i, c.node)
	}
}

// Synced gives for each client that has everything how long after start that was.
func (f *Fleet) Synced(start time.Time) []time.Duration {
	var out []time.Duration
	for _, c := range f.clients {
		if at := c.synced.Load(); at > 0 {
			out = append(out, time.Unix(0, at).Sub(start))
		}
	}
	return out
}

// Connected counts the clients whose stream is open.
func (f *Fleet) Connected() int {
	n := 0
	for _, c := range f.clients {
		if c.connected.Load() {
			n++
		}
	}
	return n
}

// Stats counts what all clients sent and received since they were made.
type Stats struct{ Down, Up, Messages int64 }

// Stats adds up all clients.
func (f *Fleet) Stats() Stats {
	var s Stats
	for _, c := range f.clients {
		s.Down += c.down.Load()
		s.Up += c.up.Load()
		s.Messages += c.messages.Load()
	}
	return s
}

// Stall lets the first of each n clients stop reading, until Stall(0).
func (f *Fleet) Stall(n int) {
	f.gateMu.Lock()
	defer f.gateMu.Unlock()
	f.stalled = n
	if n == 0 {
		close(f.resume)
		f.resume = make(chan struct{})
	}
}

// Stalls tells whether a client is one of those that do not read.
func (f *Fleet) Stalls(client int) bool {
	f.gateMu.Lock()
	defer f.gateMu.Unlock()
	return f.stalled > 0 && client%f.stalled == f.stalled-1
}

// gate holds up a client that does not read.
func (f *Fleet) gate(ctx context.Context, client int) error {
	f.gateMu.Lock()
	stalls, resume := f.stalled > 0 && client%f.stalled == f.stalled-1, f.resume
	f.gateMu.Unlock()
	if !stalls {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-resume:
		return nil
	}
}
