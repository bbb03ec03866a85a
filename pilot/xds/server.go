// Package xds serves the aggregated discovery service, delta and state of the world, from the
// views of push. Each stream keeps what its client subscribed to and holds, sends what differs in
// an order in which nothing points at what is not there yet, and takes refusals to the one bad
// resource. It knows nothing of the mesh's objects.
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
)

// Identity is what a caller proved.
type Identity struct{ Namespace, ServiceAccount string }

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
	// Debug answers the questions of Istio's tools; nil answers none.
	Debug Debug
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
	return o
}

// Server serves ADS streams.
type Server struct {
	opts      Options
	metrics   *metrics
	admission *admission
	names     *resource.NamesPool // all subscriptions
	ids       atomic.Uint64
	boot      string // makes nonces of a former process foreign
	workers   sync.WaitGroup

	mu      sync.Mutex
	streams map[*stream]struct{}
	newest  map[string]*stream // by node ID; a proxy's former stream may hang
	rest    context.CancelFunc // ends the search for stalled clients; nil where there is no stream
}

// New gives a Server. Its Service is registered on a gRPC server that uses Codec.
func New(opts Options) *Server {
	opts = opts.withDefaults()
	return &Server{
		opts: opts, metrics: newMetrics(opts.Registerer), names: resource.NewNamesPool(),
		streams: map[*stream]struct{}{}, newest: map[string]*stream{},
		admission: newAdmission(), boot: strconv.FormatInt(time.Now().UnixNano(), 36),
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
	var identity Identity
	if authenticate != nil {
		var err error
		if identity, err = authenticate(ctx); err != nil {
			s.metrics.refusals.WithLabelValues("unauthenticated").Inc()
			return err
		}
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s.workers.Go(func() { cancel(s.run(ctx, cancel, w, identity, authenticate != nil)) })
	<-ctx.Done()
	return s.outcome(context.Cause(ctx))
}

// run takes a stream's requests until the handler has returned.
func (s *Server) run(ctx context.Context, cancel context.CancelCauseFunc, w wire, id Identity, proven bool) error {
	patience := time.AfterFunc(s.opts.FirstRequestTimeout, func() {
		cancel(status.Error(codes.DeadlineExceeded, "no request came"))
	})
	defer patience.Stop()
	var r request
	if err := w.recv(&r); err != nil {
		return err
	}
	patience.Stop()
	asker := s.asker(ctx, w, id, proven)
	for r.isQuestion() { // a tool's stream, which asks for nothing else
		if err := asker.answer(&r, true); err != nil {
			return err
		}
		if err := w.recv(&r); err != nil {
			return err
		}
	}
	st := &stream{Server: s, ctx: ctx, cancel: cancel, wire: w}
	if err := s.admission.begin(ctx, func() error {
		if err := s.accept(st, &r, id, proven); err != nil {
			return err
		}
		s.add(st)
		st.handle(&r)
		return nil
	}); err != nil {
		return err
	}
	defer s.remove(st)
	for {
		if err := w.recv(&r); err != nil {
			return err
		}
		if !r.isQuestion() {
			st.handle(&r)
		} else if err := asker.answer(&r, false); err != nil {
			return err
		}
	}
}

// accept makes the stream of a first request known to the source, if it may be served.
func (s *Server) accept(st *stream, first *request, id Identity, proven bool) error {
	said, err := first.node()
	if err != nil {
		return status.Error(codes.InvalidArgument, err.Error())
	}
	node, err := push.ParseNode(said)
	if err != nil {
		s.metrics.refusals.WithLabelValues("node").Inc()
		return status.Error(codes.InvalidArgument, err.Error())
	}
	if proven {
		if err := matches(node, id); err != nil {
			s.metrics.refusals.WithLabelValues("identity").Inc()
			return err
		}
		st.identity = id.String()
	}
	if p, ok := peer.FromContext(st.ctx); ok {
		st.peer = p.Addr.String()
	}
	st.id, st.connected = s.boot+"."+strconv.FormatUint(s.ids.Add(1), 36), time.Now()
	if st.client, err = s.opts.Source.Connect(node, st.refresh); err != nil {
		return status.Error(codes.Unavailable, err.Error())
	}
	st.suspects = st.client.Untrusted()
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
	return nil
}

// outcome turns a stream's end into what the client is told.
func (s *Server) outcome(err error) error {
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
	s.opts.Logger.Warn("stream ended by an error", "error", err)
	return err
}

// add lists a stream, and takes over what is suspected of its proxy by the former one, which may
// hang.
func (s *Server) add(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := st.client.Node()
	if former := s.newest[node.ID]; former != nil {
		for t, doubt := range former.suspicion() {
			st.suspects.Add(t, doubt)
		}
	}
	s.streams[st], s.newest[node.ID] = struct{}{}, st
	s.metrics.clients.WithLabelValues(node.IstioVersion).Inc()
	if s.rest == nil {
		var ctx context.Context
		ctx, s.rest = context.WithCancel(context.Background())
		s.workers.Go(func() { s.endStalled(ctx) })
	}
}

// remove takes a stream off the list. What is suspected of its proxy is kept, unless a newer stream
// has taken it over.
func (s *Server) remove(st *stream) {
	st.end()
	s.mu.Lock()
	defer s.mu.Unlock()
	node := st.client.Node()
	var suspicion push.Untrusted
	if s.newest[node.ID] == st {
		delete(s.newest, node.ID)
		suspicion = st.suspicion()
	}
	delete(s.streams, st)
	s.metrics.clients.WithLabelValues(node.IstioVersion).Dec()
	st.client.Close(suspicion)
	if len(s.streams) == 0 {
		s.rest()
		s.rest = nil
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
			for _, st := range s.present() {
				if since := st.stalled(); !since.IsZero() && now.Sub(since) > s.opts.AckTimeout {
					st.log().Warn("proxy acknowledges nothing, its stream is ended", "since", since)
					st.cancel(status.Errorf(codes.DeadlineExceeded, "a response is not acknowledged since %s", now.Sub(since).Round(time.Second)))
				}
			}
		}
	}
}

func (s *Server) present() []*stream {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Collect(maps.Keys(s.streams))
}

// Connections lists the present streams by the proxy's name.
func (s *Server) Connections() []Connection {
	var out []Connection
	for _, st := range s.present() {
		out = append(out, st.connection())
	}
	slices.SortFunc(out, Connection.compare)
	return out
}
