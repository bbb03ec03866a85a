// Package store holds the mesh's objects and makes of them immutable snapshots: services,
// endpoints and configuration with the indexes that translation needs. It is the one commit
// point of the flow: sources hand it events, and it delivers commits, each a snapshot with what
// changed in value. It knows nothing of proxies.
package store

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Commit is one step of the configuration.
type Commit struct {
	Snapshot *Snapshot
	// Rows are those that have another value than before; what was read of none of them is as it was.
	Rows []Row
	// Full tells that anything may have changed: on the first commit and with the mesh's
	// configuration.
	Full bool
	// Changed holds the objects whose value changed, and Endpoints the Services whose endpoints did.
	Changed, Endpoints map[model.Key]struct{}
	// Since is when the first of the events arrived that led to the commit, Began when it began, after the quiet
	// window, and Ended when the snapshot was there.
	Since, Began, Ended time.Time

	settling []chan<- struct{} // of those whom Applied tells
}

// Empty tells whether the commit changes nothing; such a one is only for those who wait in Settle.
func (c Commit) Empty() bool {
	return !c.Full && len(c.Rows)+len(c.Changed)+len(c.Endpoints) == 0
}

// Applied is told by the reader of commits once the commit is in effect.
func (c Commit) Applied() {
	for _, settled := range c.settling {
		close(settled)
	}
}

// merge gives the step from before the earlier commit to after c.
func (c Commit) merge(earlier *Commit) Commit {
	if earlier == nil {
		return c
	}
	c.settling = slices.Concat(earlier.settling, c.settling)
	if earlier.Empty() {
		return c
	}
	maps.Copy(c.Changed, earlier.Changed)
	maps.Copy(c.Endpoints, earlier.Endpoints)
	c.Rows = rowSet(earlier.Rows, c.Rows)
	c.Full = c.Full || earlier.Full
	c.Since, c.Began = earlier.Since, earlier.Began
	return c
}

// SourceOptions describe one source of a store.
type SourceOptions struct {
	Name string // as it calls itself in Apply and Synced
	// Deadline is how long the first commit waits for the source; 0 means for as long as it takes.
	// A source that misses it is reported, and what it delivers later is taken.
	Deadline time.Duration
	// Cluster is the remote cluster that the source speaks for; "" for the control plane's own. What a
	// remote cluster has adds to what others have: its Service of one namespace and name is the same
	// service there. Only Kubernetes' kinds are taken from it.
	Cluster string
}

// Options of a snapshot or a store.
type Options struct {
	// Domain is the cluster's DNS suffix, cluster.local if empty.
	Domain string
	// Cluster is the name by which proxies know the control plane's own cluster, Kubernetes if empty.
	Cluster string
	// Environment gives a variable of the control plane's process, "" for one that is not set, which headers of
	// extension providers may name; nil where the process is not the control plane's.
	Environment func(name string) string
	// Indexes are tables of objects beside those of the kinds that the control plane translates.
	Indexes []Index

	// Sources are awaited before the first commit. Where two have an object of the same key, that
	// of the later one counts.
	Sources []SourceOptions
	// Quiet is how long configuration has to rest before it is committed, 20 ms if 0; MaxQuiet is
	// how long it may be put off by further changes, 200 ms if 0. Endpoints do not wait.
	Quiet, MaxQuiet time.Duration
	// Report takes the problems of each source, which replace its former ones; nil for none.
	Report func(stage string, problems []model.Problem)
	Logger *slog.Logger // nil for none
}

// Store takes events from sources and delivers commits. It implements model.Sink.
type Store struct {
	opts    Options
	commits chan Commit
	current atomic.Pointer[Snapshot]

	mu    sync.Mutex
	inbox []func(*runner) // what Run's goroutine is to do
	wake  chan struct{}   // holds one token while the inbox has something
}

// New gives a store, which works once Run does.
func New(opts Options) *Store {
	opts.Quiet = cmp.Or(opts.Quiet, 20*time.Millisecond)
	opts.MaxQuiet = max(cmp.Or(opts.MaxQuiet, 200*time.Millisecond), opts.Quiet)
	if opts.Report == nil {
		opts.Report = func(string, []model.Problem) {}
	}
	if opts.Logger == nil {
		opts.Logger = slog.New(slog.DiscardHandler)
	}
	return &Store{opts: opts, commits: make(chan Commit), wake: make(chan struct{}, 1)}
}

// Commits delivers the steps of the configuration to one reader. While the reader is busy, steps
// are merged into one, so that it always gets the latest snapshot.
func (s *Store) Commits() <-chan Commit { return s.commits }

// Snapshot gives the last commit's snapshot, or nil before the first.
func (s *Store) Snapshot() *Snapshot { return s.current.Load() }

// Ready tells whether the first commit was made, so that proxies can be served.
func (s *Store) Ready() bool { return s.current.Load() != nil }

// Apply takes a source's events and its present problems. It does not wait for the commit.
func (s *Store) Apply(source string, events []model.Event, problems []model.Problem) {
	arrived := time.Now()
	s.post(func(r *runner) { r.apply(source, events, problems, arrived) })
}

// Synced tells that a source has delivered its initial state.
func (s *Store) Synced(source string) {
	s.post(func(r *runner) { r.sync(source) })
}

// Settle waits until all that sources have delivered so far is in effect, or until ctx ends.
func (s *Store) Settle(ctx context.Context) error {
	settled := make(chan struct{})
	s.post(func(r *runner) { r.settling = append(r.settling, settled) })
	select {
	case <-settled:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *Store) post(do func(*runner)) {
	s.mu.Lock()
	s.inbox = append(s.inbox, do)
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default: // a token is there already
	}
}

func (s *Store) take() []func(*runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	inbox := s.inbox
	s.inbox = nil
	return inbox
}

// FromObjects gives the snapshot of a set of objects; of two with the same key the first counts. There is a source of
// each cluster that one of them is of.
func FromObjects(objects []*model.Object, opts Options) *Snapshot {
	c, _ := stateOf(objects, opts).commit()
	return c.Snapshot
}

// OfIngresses gives the Gateways and VirtualServices that a set of objects has for its Ingresses, sorted by key.
func OfIngresses(objects []*model.Object, opts Options) []*model.Object {
	s := stateOf(objects, opts)
	s.deriveIngresses()
	var out []*model.Object
	for _, key := range sortedKeys(s.derived) {
		out = append(out, s.derived[key])
	}
	return out
}

func stateOf(objects []*model.Object, opts Options) *state {
	s := newState(opts.Domain, opts.Indexes...)
	s.told(opts)
	for _, o := range objects {
		if o.Cluster != "" && !slices.Contains(s.remote, o.Cluster) {
			s.remote = append(s.remote, o.Cluster)
		}
		if s.object(o.Key) == nil {
			s.put(o.Key, o)
		}
	}
	return s
}
