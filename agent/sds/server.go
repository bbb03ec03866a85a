// Package sds serves the workload's secrets to Envoy: Envoy's secret discovery service on a Unix
// socket, over what agent/secret holds.
package sds

import (
	"context"
	"log/slog"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/agent/secret"
	"github.com/pilothouse-mesh/pilothouse/agent/uds"
	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

// secretType is the type URL of what is served.
const secretType = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"

// Secrets is where the values come from; *secret.Manager is one.
type Secrets interface {
	// Secret gives a name's present value, nil while it is not there yet, an error when there can
	// be none.
	Secret(name string) (*secret.Value, error)
	// Changed gives a channel that is closed at the next change.
	Changed() <-chan struct{}
}

// Config is what a Server needs.
type Config struct {
	// SocketPath of the Unix socket; its directory is made, a stale socket replaced.
	SocketPath string
	// Secrets that are served.
	Secrets Secrets
	// Logger must not be nil. No key is ever logged.
	Logger *slog.Logger
}

// Server is the secret discovery service.
type Server struct{ cfg Config }

// New gives a Server; Run makes it listen.
func New(cfg Config) *Server { return &Server{cfg: cfg} }

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	srv := grpc.NewServer(grpc.WaitForHandlers(true))
	srv.RegisterService(s.describe(), s)
	return uds.Serve(ctx, s.cfg.SocketPath, srv)
}

// describe gives Envoy's service. Its generated form would link all of the types that Envoy's
// secrets refer to.
func (s *Server) describe() *grpc.ServiceDesc {
	stream := func(name string, serve func(grpc.ServerStream) error) grpc.StreamDesc {
		return grpc.StreamDesc{
			StreamName: name, ServerStreams: true, ClientStreams: true,
			Handler: func(_ any, stream grpc.ServerStream) error { return serve(stream) },
		}
	}
	return &grpc.ServiceDesc{
		ServiceName: "envoy.service.secret.v3.SecretDiscoveryService",
		HandlerType: (*any)(nil),
		Methods:     []grpc.MethodDesc{{MethodName: "FetchSecrets", Handler: s.fetch}},
		Streams:     []grpc.StreamDesc{stream("StreamSecrets", s.stream), stream("DeltaSecrets", s.delta)},
	}
}

// stream serves the state-of-the-world protocol, which is what Envoy speaks here.
func (s *Server) stream(stream grpc.ServerStream) error {
	w := newWatch(s.cfg.Secrets, s.cfg.Logger, false)
	return s.serve(w, func() error {
		req := &node.DiscoveryRequest{}
		if err := stream.RecvMsg(req); err != nil {
			return err
		}
		return w.request(req)
	}, func(u update) error {
		return stream.SendMsg(&node.DiscoveryResponse{
			VersionInfo: u.nonce, Nonce: u.nonce, TypeUrl: secretType, Resources: u.bare(),
		})
	})
}

// delta serves the incremental protocol.
func (s *Server) delta(stream grpc.ServerStream) error {
	w := newWatch(s.cfg.Secrets, s.cfg.Logger, true)
	return s.serve(w, func() error {
		req := &node.DeltaDiscoveryRequest{}
		if err := stream.RecvMsg(req); err != nil {
			return err
		}
		return w.deltaRequest(req)
	}, func(u update) error {
		return stream.SendMsg(&node.DeltaDiscoveryResponse{
			SystemVersionInfo: u.nonce, Nonce: u.nonce, TypeUrl: secretType,
			Resources: u.resources, RemovedResources: u.removed,
		})
	})
}

// fetch answers one request with what is there.
func (s *Server) fetch(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
	req := &node.DiscoveryRequest{}
	if err := decode(req); err != nil {
		return nil, err
	}
	w := newWatch(s.cfg.Secrets, s.cfg.Logger, false)
	if err := w.request(req); err != nil {
		return nil, err
	}
	u, err := w.pending()
	if err != nil {
		return nil, err
	}
	if len(u.resources) == 0 {
		return nil, status.Error(codes.Unavailable, "secret is not there yet")
	}
	return &node.DiscoveryResponse{VersionInfo: u.nonce, TypeUrl: secretType, Resources: u.bare()}, nil
}

// serve reads requests in the caller's goroutine, and sends from another one, which has ended when
// serve returns: what waits to be sent is never more than one value for each name.
func (s *Server) serve(w *watch, receive func() error, send func(update) error) error {
	done := make(chan struct{})
	sent := make(chan error, 1)
	go func() { sent <- s.push(w, send, done) }()
	var err error
	for err == nil {
		err = receive()
	}
	close(done)
	if sendErr := <-sent; sendErr != nil {
		return sendErr
	}
	if code := status.Code(err); code == codes.InvalidArgument {
		return err
	}
	return nil // the client has gone
}

// push sends whatever differs from what the client has, on each request and on each change.
func (s *Server) push(w *watch, send func(update) error, done <-chan struct{}) error {
	for {
		changed := s.cfg.Secrets.Changed() // before reading, so that nothing is missed
		u, err := w.pending()
		if err == nil && len(u.resources)+len(u.removed) > 0 {
			err = send(u)
		}
		if err != nil {
			return err
		}
		select {
		case <-changed:
		case <-w.requested:
		case <-done:
			return nil
		}
	}
}
