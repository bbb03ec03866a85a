package ads

import (
	"context"
	"crypto/tls"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pilothouse-mesh/pilothouse/bench/h2"
)

// Options of a Fleet.
type Options struct {
	Nodes  []Node
	TLS    *tls.Config // nil for plaintext
	Logger *slog.Logger
}

// together is how many clients may be connecting at a time.
const together = 256

// Fleet is many clients of one server.
type Fleet struct {
	opts    Options
	memory  *memory
	clients []*Client
	last    atomic.Int64 // of the last acknowledgement, Unix ns

	marksMu sync.RWMutex
	marks   map[target]*Mark
	marked  atomic.Int64

	stalled atomic.Int64 // one client in so many does not read; 0 for none

	opening chan struct{} // has room for those that may connect at a time

	inSync, asking     atomic.Int64 // clients
	down, up, messages atomic.Int64
	broken             atomic.Int64 // streams that ended otherwise than by Disconnect

	pollers []*h2.Poller // of those that are connected, without TLS
	stop    context.CancelFunc
	running sync.WaitGroup
}

// New makes a fleet that is not connected.
func New(o Options) *Fleet {
	f := &Fleet{
		opts: o, memory: newMemory(), marks: map[target]*Mark{}, opening: make(chan struct{}, together),
	}
	for i, n := range o.Nodes {
		f.clients = append(f.clients, newClient(f, i, n))
	}
	return f
}

// Len gives the number of clients.
func (f *Fleet) Len() int { return len(f.clients) }

// Namespace gives that of a client.
func (f *Fleet) Namespace(client int) string { return f.clients[client].node.Namespace }

// Account gives a client's service account.
func (f *Fleet) Account(client int) string { return f.clients[client].node.Account }

// Received gives how many messages each client has received since it was made.
func (f *Fleet) Received() []int64 {
	out := make([]int64, len(f.clients))
	for i, c := range f.clients {
		out[i] = c.messages.Load()
	}
	return out
}

// Connect lets all clients connect to an address, and again whenever a stream ends, until
// Disconnect. Clients that hold state from before say so.
func (f *Fleet) Connect(ctx context.Context, address string) error {
	ctx, f.stop = context.WithCancel(ctx)
	for range runtime.GOMAXPROCS(0) {
		p, err := h2.NewPoller()
		if err != nil {
			return err
		}
		f.pollers = append(f.pollers, p)
	}
	for _, c := range f.clients {
		f.running.Go(func() { f.keep(ctx, c, address) })
	}
	return nil
}

// Disconnect ends all streams and connections and waits for that.
func (f *Fleet) Disconnect() {
	if f.stop != nil {
		f.stop()
		f.stop = nil
	}
	f.running.Wait()
	for _, p := range f.pollers {
		if err := p.Close(); err != nil {
			f.opts.Logger.Error("a poller does not end as it should", "error", err)
		}
	}
	f.pollers = nil
}

func (f *Fleet) poller(client int) *h2.Poller { return f.pollers[client%len(f.pollers)] }

// keep keeps one client connected.
func (f *Fleet) keep(ctx context.Context, c *Client, address string) {
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 2*time.Second) {
		err := c.run(ctx, address)
		if ctx.Err() != nil {
			return
		}
		f.broken.Add(1)
		f.opts.Logger.Debug("stream ended", "client", c.index, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (f *Fleet) active(now time.Time) { f.last.Store(now.UnixNano()) }

// LastActive is when a client acknowledged something for the last time.
func (f *Fleet) LastActive() time.Time { return time.Unix(0, f.last.Load()) }

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

// InSync counts the clients that have everything.
func (f *Fleet) InSync() int { return int(f.inSync.Load()) }

// Asking counts the clients that have sent their first requests on a stream that is open.
func (f *Fleet) Asking() int { return int(f.asking.Load()) }

// Stats counts what all clients sent and received since they were made, in bytes and messages,
// and how many of their streams the server ended.
type Stats struct{ Down, Up, Messages, Broken int64 }

// Stats gives the present counts.
func (f *Fleet) Stats() Stats {
	return Stats{Down: f.down.Load(), Up: f.up.Load(), Messages: f.messages.Load(), Broken: f.broken.Load()}
}

// Stall lets the last of each n clients stop reading, until Stall(0). Those over TLS read on.
func (f *Fleet) Stall(n int) {
	f.stalled.Store(int64(n))
	for _, p := range f.pollers {
		if err := p.Resume(); err != nil {
			f.opts.Logger.Error("clients do not read again", "error", err)
		}
	}
}

// Stalls tells whether a client is one of those that do not read.
func (f *Fleet) Stalls(client int) bool {
	n := int(f.stalled.Load())
	return n > 0 && client%n == n-1
}
