// Package floor is the yardstick: a plain gRPC server that sends the very bytes that a real
// discovery server sent, recorded and marshalled beforehand, to as many clients over the same
// transport with the same options. What it costs is what gRPC and the kernel cost; a discovery
// server can only come near it. It runs as a process of its own and is told what to do by HTTP.
package floor

import (
	"context"
	"crypto/tls"
	"encoding/gob"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
)

// Class is of clients that get the same bytes.
type Class struct {
	Namespace string // "" where all namespaces get the same
	SotW      bool
	Warm      bool // they come back with what they hold
}

// Replies are the answers to first requests.
type Replies struct {
	Namespaced bool // whether classes differ by namespace
	By         map[Class]map[ads.Kind][][]byte
}

// Play is what to send to connected clients at the same time.
type Play []Part

// Part is what the clients of these namespaces get, or all where there are none.
type Part struct {
	Namespaces []string
	Frames     []ads.Frame
}

// Server is the floor.
type Server struct {
	mu      sync.RWMutex
	replies Replies
	streams map[*stream]struct{}
}

type stream struct {
	grpc.ServerStream
	namespace string
	sotw      bool
	sending   sync.Mutex
}

// New gives a server that answers nothing yet.
func New() *Server { return &Server{streams: map[*stream]struct{}{}} }

// Ports are where the floor is reached. Secure is for clients over TLS.
type Ports struct {
	Plain, Secure, Commands net.Listener
	TLS                     *tls.Config
}

// Serve serves clients and commands until ctx ends.
func (s *Server) Serve(ctx context.Context, p Ports) error {
	options := append(transport(), grpc.ForceServerCodecV2(codec{}), grpc.UnknownServiceHandler(s.handle))
	plain := grpc.NewServer(options...)
	secure := grpc.NewServer(append(options, grpc.Creds(credentials.NewTLS(p.TLS)))...)
	h := &http.Server{Handler: s.commands(), ReadHeaderTimeout: 10 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return plain.Serve(p.Plain) })
	group.Go(func() error { return secure.Serve(p.Secure) })
	group.Go(func() error {
		if err := h.Serve(p.Commands); err != http.ErrServerClosed {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		plain.Stop()
		secure.Stop()
		return h.Close()
	})
	return group.Wait()
}

// transport are the options that pilot-discovery serves with.
func transport() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ReadBufferSize(1024), grpc.WriteBufferSize(16384), grpc.MaxRecvMsgSize(8 << 20),
		grpc.StaticStreamWindowSize(256 << 10), grpc.StaticConnWindowSize(256 << 10),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	}
}

// handle serves one stream of either protocol.
func (s *Server) handle(_ any, st grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(st)
	own := &stream{ServerStream: st, sotw: method == ads.SotWMethod}
	defer s.remove(own)
	var answered [8]bool
	for first := true; ; first = false {
		var m raw
		if err := st.RecvMsg(&m); err != nil {
			return err
		}
		r, err := ads.ParseRequest(m.bytes, !own.sotw)
		if err == nil && first {
			err = s.add(own, r.Node)
		}
		kind, warm, due := r.Kind, r.Warm, r.Known && len(r.Nonce) == 0
		m.free()
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		if !due || answered[kind] {
			continue
		}
		answered[kind] = true
		for _, b := range s.reply(own, kind, warm) {
			if err := own.send(b); err != nil {
				return err
			}
		}
	}
}

func (s *stream) send(b []byte) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.SendMsg(&raw{bytes: b})
}

func (s *Server) add(st *stream, node []byte) error {
	namespace, err := ads.NamespaceOf(node)
	if err != nil {
		return err
	}
	st.namespace = namespace
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams[st] = struct{}{}
	return nil
}

func (s *Server) remove(st *stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.streams, st)
}

func (s *Server) reply(st *stream, k ads.Kind, warm bool) [][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	class := Class{SotW: st.sotw, Warm: warm}
	if s.replies.Namespaced {
		class.Namespace = st.namespace
	}
	return s.replies.By[class][k]
}

// commands takes gob-encoded Replies and Play; a Play is answered when everything is sent.
func (s *Server) commands() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /replies", func(w http.ResponseWriter, r *http.Request) {
		var next Replies
		if err := gob.NewDecoder(r.Body).Decode(&next); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		s.replies = next
	})
	mux.HandleFunc("POST /play", func(w http.ResponseWriter, r *http.Request) {
		var p Play
		if err := gob.NewDecoder(r.Body).Decode(&p); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.play(r.Context(), p)
	})
	return mux
}

// play sends the frames at their times, each stream in a goroutine of its own, as a server with a
// goroutine for each stream does.
func (s *Server) play(ctx context.Context, p Play) {
	start := time.Now()
	var all sync.WaitGroup
	defer all.Wait()
	for _, part := range p {
		for _, st := range s.among(part.Namespaces) {
			all.Go(func() { st.play(ctx, start, part.Frames) })
		}
	}
}

func (s *Server) among(namespaces []string) []*stream {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var out []*stream
	for st := range s.streams {
		if len(namespaces) == 0 || slices.Contains(namespaces, st.namespace) {
			out = append(out, st)
		}
	}
	return out
}

func (s *stream) play(ctx context.Context, start time.Time, frames []ads.Frame) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for _, f := range frames {
		if wait := time.Until(start.Add(f.After)); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-ctx.Done():
				return
			}
		}
		if s.send(f.Bytes) != nil {
			return
		}
	}
}
