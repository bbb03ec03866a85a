package xds

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/proto/seen"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
)

// Identity is what a caller proved.
type Identity struct {
	Namespace, ServiceAccount string
	// Pod names the pod that the proof is bound to; "" for none.
	Pod string
	// Foreign tells that it is one of another cluster than the control plane's.
	Foreign bool
}

// String gives NAMESPACE/SERVICEACCOUNT.
func (id Identity) String() string { return id.Namespace + "/" + id.ServiceAccount }

// Authenticate proves who a caller is; its error is a gRPC status.
type Authenticate func(ctx context.Context) (Identity, error)

// Source hands out views.
type Source interface {
	// Connect calls changed with each view in its order, and is not called by it.
	Connect(n *push.Node, changed func(*push.Update)) (*push.Client, error)
}

// Options of a Server. Zero durations and numbers take the default that stands with them.
type Options struct {
	Source     Source
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil for none
	// AckTimeout ends the stream of a client that does not acknowledge or does not read; 60 s.
	AckTimeout time.Duration
	// WarmingTimeout is how long listeners and routes wait for new clusters to get warm; 5 s.
	WarmingTimeout time.Duration
	// RemovalGrace is how long clusters outlive the last listener or route that used them; negative
	// for not at all; 45 s, in which time a listener drains.
	RemovalGrace time.Duration
	// FirstRequestTimeout ends a stream that asks for nothing; 30 s.
	FirstRequestTimeout time.Duration
	// Proven bounds what callers of one identity take together, Anonymous all callers without proof.
	Proven, Anonymous Limits
	// MayHaveSecrets tells whether a proxy of an identity may have Secrets of its namespace; nil: all may. One
	// whose answer has become another is told anew when its stream is ended by End.
	MayHaveSecrets func(context.Context, Identity, *push.Node) bool
	// Health is told what agents say of the health of their applications, of callers with proof, and Join of those
	// that name a WorkloadGroup. Ended is told that a stream has ended of which one of them was told. None may block;
	// nil for none.
	Health func(Health)
	Join   func(Join)
	Ended  func(stream string)
	// Debug answers the questions of Istio's tools; nil answers none.
	Debug Debug
	// CatchUp waits until views are made of all that is as new as the versions, or ctx ends; nil where versions are
	// not known. CatchUpTimeout is how long a stream waits for it at most; 10 s.
	CatchUp        func(ctx context.Context, to seen.Versions) CatchUp
	CatchUpTimeout time.Duration
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, def time.Duration) {
		if *d == 0 {
			*d = def
		}
	}
	set(&o.AckTimeout, time.Minute)
	set(&o.WarmingTimeout, 5*time.Second)
	set(&o.RemovalGrace, 45*time.Second)
	set(&o.FirstRequestTimeout, 30*time.Second)
	set(&o.CatchUpTimeout, 10*time.Second)
	return o
}

// Server serves ADS streams.
type Server struct {
	opts      Options
	metrics   *metrics
	admission *admission
	shares    *shares
	pool      *resource.NamesPool // all subscriptions
	ids       atomic.Uint64
	// provenStreams is how many callers with proof are connected.
	provenStreams atomic.Int64
	boot          string // makes nonces of a former process foreign
	workers       sync.WaitGroup

	mu          sync.Mutex
	streams     map[*stream]struct{}
	newest      map[nodeKey]*stream // a proxy's former stream may hang
	stopStalled context.CancelFunc  // ends the search for stalled clients; nil where there is no stream
}

// nodeKey is a proxy's node ID and what it proved, so that nobody without that proof is taken for it.
type nodeKey struct{ identity, id string }

func (s *stream) key() nodeKey { return nodeKey{s.identity, s.client.Node().ID} }

// New gives a Server. Its Service is registered on a gRPC server that uses Codec.
func New(opts Options) *Server {
	opts = opts.withDefaults()
	return &Server{
		opts: opts, metrics: newMetrics(opts.Registerer), pool: resource.NewNamesPool(),
		streams: map[*stream]struct{}{}, newest: map[nodeKey]*stream{},
		admission: newAdmission(), shares: newShares(opts.Proven, opts.Anonymous), boot: strconv.FormatInt(time.Now().UnixNano(), 36),
	}
}

// Service gives the gRPC service for one listener; with authenticate, a stream must prove an
// identity that its node agrees with.
func (s *Server) Service(authenticate Authenticate) discoveryv3.AggregatedDiscoveryServiceServer {
	return &service{server: s, authenticate: authenticate}
}

// Wait returns when the goroutines of all streams have ended; the gRPC servers must be stopped.
func (s *Server) Wait() { s.workers.Wait() }

type service struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	server       *Server
	authenticate Authenticate
}

// StreamAggregatedResources serves the state-of-the-world protocol.
func (s *service) StreamAggregatedResources(st discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return s.server.serve(st.Context(), newWire(st, false), s.authenticate)
}

// DeltaAggregatedResources serves the delta protocol.
func (s *service) DeltaAggregatedResources(st discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.server.serve(st.Context(), newWire(st, true), s.authenticate)
}

// serve is the life of a stream. Only its return frees a Send that a client does not read, so it
// waits for nothing but the stream's end.
func (s *Server) serve(ctx context.Context, w wire, authenticate Authenticate) error {
	var identity *Identity
	name := ""
	if authenticate != nil {
		id, err := authenticate(ctx)
		if err != nil {
			s.metrics.turnedAway.WithLabelValues("unauthenticated").Inc()
			return err
		}
		identity, name = &id, id.String()
	}
	share, err := s.shares.join(ctx, name) // after authentication: what is taken is taken of one's own share
	if err != nil {
		s.metrics.turnedAway.WithLabelValues("limit").Inc()
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	st := &stream{Server: s, share: share, ctx: ctx, cancel: cancel, wire: w, identity: name}
	s.workers.Go(func() {
		defer func() { share.leave(ctx, st.subscribed) }()
		cancel(s.run(st, identity))
	})
	<-ctx.Done()
	return s.outcome(context.Cause(ctx), share)
}

// run takes a stream's requests until the handler has returned. identity is nil for a caller without
// proof.
func (s *Server) run(st *stream, identity *Identity) error {
	ctx, cancel, w := st.ctx, st.cancel, st.wire
	tooLate := time.AfterFunc(s.opts.FirstRequestTimeout, func() {
		cancel(status.Error(codes.DeadlineExceeded, "no request came"))
	})
	defer tooLate.Stop()
	var r request
	if err := w.recv(&r); err != nil {
		return err
	}
	tooLate.Stop()
	asker := s.asker(ctx, w, identity)
	for r.isQuestion() { // a tool's stream, which asks for nothing else
		if err := asker.answer(&r, true); err != nil {
			return err
		}
		r.release()
		if err := w.recv(&r); err != nil {
			return err
		}
	}
	if err := st.catchUp(); err != nil {
		return err
	}
	node, err := s.identify(st, &r, identity) // which may wait for an API server, and so takes no place
	if err != nil {
		return err
	}
	if err := s.admission.begin(ctx, st.share, func() error {
		if err := s.register(st, node); err != nil {
			return err
		}
		s.add(st)
		st.tellJoin()
		if !st.inform(&r) {
			st.handle(&r)
		}
		return nil
	}); err != nil {
		return err
	}
	defer s.remove(st)
	defer st.tellEnd()
	for {
		r.release()
		if err := w.recv(&r); err != nil {
			return err
		}
		if st.inform(&r) {
			continue
		}
		if !r.isQuestion() {
			st.handle(&r)
		} else if err := asker.answer(&r, false); err != nil {
			return err
		}
	}
}

// identify reads who the client of a first request is, if it may be served.
func (s *Server) identify(st *stream, first *request, identity *Identity) (*push.Node, error) {
	said, err := first.node()
	if err != nil {
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	node, err := push.ParseNode(said)
	if err != nil {
		s.metrics.turnedAway.WithLabelValues("node").Inc()
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	if identity != nil {
		if err := matches(node, *identity); err != nil {
			s.metrics.turnedAway.WithLabelValues("identity").Inc()
			return nil, err
		}
		node.Proved(st.identity, identity.ServiceAccount, identity.Pod, identity.Foreign)
		node.Secrets = s.opts.MayHaveSecrets == nil || s.opts.MayHaveSecrets(st.ctx, *identity, node)
	}
	if p, ok := peer.FromContext(st.ctx); ok {
		st.peer = p.Addr.String()
	}
	node.Peer = auth.CallerAddress(st.ctx)
	return node, nil
}

// register makes a stream known to the source.
func (s *Server) register(st *stream, node *push.Node) (err error) {
	st.node = node
	st.id, st.connected = s.boot+"."+strconv.FormatUint(s.ids.Add(1), 36), time.Now()
	if st.client, err = s.opts.Source.Connect(node, st.refresh); err != nil {
		if errors.Is(err, push.ErrTooManyClasses) {
			s.metrics.turnedAway.WithLabelValues("limit").Inc()
			return status.Error(codes.ResourceExhausted, err.Error())
		}
		return status.Error(codes.Unavailable, err.Error())
	}
	st.untrusted = st.client.Untrusted()
	return nil
}

// matches compares what a node says of itself to what it proved.
func matches(n *push.Node, id Identity) error {
	if n.Namespace != id.Namespace {
		return status.Errorf(codes.PermissionDenied, "node %q says namespace %q, its proven identity is %s", n.ID, n.Namespace, id)
	}
	if n.ServiceAccount != "" && n.ServiceAccount != id.ServiceAccount {
		return status.Errorf(codes.PermissionDenied, "node %q says service account %q, its proven identity is %s", n.ID, n.ServiceAccount, id)
	}
	if id.Pod != "" && n.Name != id.Pod {
		return status.Errorf(codes.PermissionDenied, "node %q says pod %q, its proof is bound to pod %q", n.ID, n.Name, id.Pod)
	}
	return nil
}

// outcome turns a stream's end into what the client is told.
func (s *Server) outcome(err error, by *share) error {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.PermissionDenied, codes.DeadlineExceeded, codes.ResourceExhausted, codes.Unavailable, codes.Unauthenticated:
		return err
	case codes.Canceled, codes.OK:
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, io.EOF) {
		return nil
	}
	s.metrics.internal.Inc()
	by.warn(s.opts.Logger, "stream ended by an error", "error", cut(err.Error(), maxDetail))
	return err
}

// add lists a stream. From the proxy's former stream, which may hang, it takes over what is
// untrusted.
func (s *Server) add(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if former := s.newest[st.key()]; former != nil {
		for t, names := range former.untrustedNow() {
			st.untrusted.Add(t, names)
		}
	}
	s.streams[st], s.newest[st.key()] = struct{}{}, st
	if st.identity != "" {
		s.provenStreams.Add(1)
	}
	st.uncount = s.metrics.clients.add(st.client.Node().IstioVersion, st.identity == "")
	if s.stopStalled == nil {
		var ctx context.Context
		ctx, s.stopStalled = context.WithCancel(context.Background())
		s.workers.Go(func() { s.endStalled(ctx) })
	}
}

// remove takes a stream off the list. What is untrusted of its proxy is kept for the next stream,
// unless a newer one has taken it over.
func (s *Server) remove(st *stream) {
	st.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	var untrusted push.Untrusted
	if s.newest[st.key()] == st {
		delete(s.newest, st.key())
		untrusted = st.untrustedNow()
	}
	delete(s.streams, st)
	st.uncount()
	if st.identity != "" {
		s.provenStreams.Add(-1)
	}
	st.client.Close(untrusted)
	if len(s.streams) == 0 {
		s.stopStalled()
		s.stopStalled = nil
	}
}

// endStalled ends the streams of clients that do not acknowledge, or do not read, until ctx ends.
func (s *Server) endStalled(ctx context.Context) {
	tick := time.NewTicker(max(s.opts.AckTimeout/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			for _, st := range s.allStreams() {
				if since := st.stalled(); !since.IsZero() && now.Sub(since) > s.opts.AckTimeout {
					st.warn("proxy acknowledges nothing, its stream is ended", "since", since)
					st.cancel(status.Errorf(codes.DeadlineExceeded, "a response is not acknowledged since %s", now.Sub(since).Round(time.Second)))
				}
			}
		}
	}
}

// End ends the streams of those of an identity's proxies that which names, of this cluster or of others as the
// identity says; they come back.
func (s *Server) End(id Identity, which func(*push.Node) bool) {
	for _, st := range s.allStreams() {
		if n := st.client.Node(); st.identity == id.String() && n.Proof.Foreign == id.Foreign && which(n) {
			st.cancel(status.Error(codes.Unavailable, "what the proxy may have is decided anew"))
		}
	}
}

func (s *Server) allStreams() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.streams))
}

// Connections lists the present streams by the proxy's name.
func (s *Server) Connections() []Connection {
	var out []Connection
	for _, st := range s.allStreams() {
		out = append(out, st.connection())
	}
	slices.SortFunc(out, Connection.compare)
	return out
}
