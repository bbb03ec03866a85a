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
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/time/rate"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// Identity is what a caller proved.
type Identity struct{ Namespace, ServiceAccount string }

// String gives NAMESPACE/SERVICEACCOUNT.
func (id Identity) String() string { return id.Namespace + "/" + id.ServiceAccount }

// Authenticate proves who a caller is; its error is a gRPC status.
type Authenticate func(ctx context.Context) (Identity, error)

// Source hands out views.
type Source interface {
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
	// StreamRate is how many new streams are taken in a second, after they proved who they are;
	// 200, in bursts of as many.
	StreamRate float64
	// FirstRequestTimeout ends a stream that asks for nothing; 30 s.
	FirstRequestTimeout time.Duration
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
	if o.StreamRate == 0 {
		o.StreamRate = 200
	}
	return o
}

// Server serves ADS streams.
type Server struct {
	opts    Options
	metrics *metrics
	limiter *rate.Limiter
	ids     atomic.Uint64
	boot    string // makes nonces of a former process foreign
	workers sync.WaitGroup

	mu      sync.Mutex
	streams map[*stream]struct{}
}

// New gives a Server. Its Service is registered on a gRPC server that uses Codec.
func New(opts Options) *Server {
	opts = opts.withDefaults()
	return &Server{
		opts: opts, metrics: newMetrics(opts.Registerer), streams: map[*stream]struct{}{},
		limiter: rate.NewLimiter(rate.Limit(opts.StreamRate), max(1, int(opts.StreamRate))),
		boot:    strconv.FormatInt(time.Now().UnixNano(), 36),
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
	return s.server.serve(st.Context(), sotwWire{st}, s.authenticate)
}

// DeltaAggregatedResources serves the delta protocol.
func (s *service) DeltaAggregatedResources(st discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return s.server.serve(st.Context(), deltaWire{st}, s.authenticate)
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
	if err := s.limiter.Wait(ctx); err != nil {
		s.metrics.refusals.WithLabelValues("rate").Inc()
		return status.Error(codes.ResourceExhausted, "too many new streams at once")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	requests, ended := s.receive(ctx, w)
	var first *request
	select {
	case first = <-requests:
	case err := <-ended:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(s.opts.FirstRequestTimeout):
		return status.Error(codes.DeadlineExceeded, "no request came")
	}
	st, err := s.accept(ctx, w, first, identity, authenticate != nil)
	if err != nil {
		return err
	}
	s.add(st)
	defer s.remove(st)
	s.workers.Go(func() {
		st.handle(first)
		report(ended, st.loop(ctx, requests))
	})
	return s.watch(ctx, st, ended)
}

// receive reads requests in a goroutine, which ends with the handler.
func (s *Server) receive(ctx context.Context, w wire) (<-chan *request, chan error) {
	requests, ended := make(chan *request), make(chan error, 1)
	s.workers.Go(func() {
		for {
			r, err := w.recv()
			if err != nil {
				report(ended, err)
				return
			}
			if _, known := push.ByURL(r.typeURL); !known && r.node == nil {
				continue
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	})
	return requests, ended
}

// report leaves the first reason for a stream's end.
func report(ended chan<- error, err error) {
	select {
	case ended <- err:
	default:
	}
}

// accept makes the stream of a first request.
func (s *Server) accept(ctx context.Context, w wire, first *request, id Identity, proven bool) (*stream, error) {
	node, err := push.ParseNode(first.node)
	if err != nil {
		s.metrics.refusals.WithLabelValues("node").Inc()
		return nil, status.Error(codes.InvalidArgument, err.Error())
	}
	st := &stream{
		id: s.boot + "." + strconv.FormatUint(s.ids.Add(1), 36), wire: w, opts: &s.opts, metrics: s.metrics, changed: make(chan struct{}, 1),
		connected: time.Now(), log: s.opts.Logger.With("proxy", node.Name+"."+node.Namespace),
	}
	if proven {
		if err := matches(node, id); err != nil {
			s.metrics.refusals.WithLabelValues("identity").Inc()
			return nil, err
		}
		st.identity = id.String()
	}
	if p, ok := peer.FromContext(ctx); ok {
		st.peer = p.Addr.String()
	}
	if st.client, err = s.opts.Source.Connect(node, st.refresh); err != nil {
		return nil, status.Error(codes.Unavailable, err.Error())
	}
	return st, nil
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

// watch waits for the stream's end, or ends it when the client stops acknowledging.
func (s *Server) watch(ctx context.Context, st *stream, ended <-chan error) error {
	tick := time.NewTicker(max(s.opts.AckTimeout/4, time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case err := <-ended:
			return s.outcome(st, err)
		case <-ctx.Done():
			return ctx.Err()
		case now := <-tick.C:
			if since := st.stalled(); !since.IsZero() && now.Sub(since) > s.opts.AckTimeout {
				st.log.Warn("proxy acknowledges nothing, its stream is ended", "since", since)
				return status.Errorf(codes.DeadlineExceeded, "a response is not acknowledged since %s", now.Sub(since).Round(time.Second))
			}
		}
	}
}

// outcome turns a stream's end into what the client is told.
func (s *Server) outcome(st *stream, err error) error {
	switch status.Code(err) {
	case codes.Canceled, codes.Unavailable, codes.DeadlineExceeded, codes.OK:
		return nil
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, io.EOF) {
		return nil
	}
	s.metrics.internal.Inc()
	st.log.Warn("stream ended by an error", "error", err)
	return err
}

func (s *Server) add(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[st] = struct{}{}
	s.metrics.clients.WithLabelValues(st.client.Node().IstioVersion).Inc()
}

func (s *Server) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st)
	s.metrics.clients.WithLabelValues(st.client.Node().IstioVersion).Dec()
	st.client.Close(st.suspicion())
}

// Connections lists the present streams by the proxy's name.
func (s *Server) Connections() []Connection {
	s.mu.Lock()
	streams := make([]*stream, 0, len(s.streams))
	for st := range s.streams {
		streams = append(streams, st)
	}
	s.mu.Unlock()
	out := make([]Connection, 0, len(streams))
	for _, st := range streams {
		out = append(out, st.connection())
	}
	slices.SortFunc(out, Connection.compare)
	return out
}
