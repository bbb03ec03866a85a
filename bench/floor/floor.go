// Package floor is the yardstick: a plain gRPC server that sends the very bytes that a real
// discovery server sent, recorded and marshalled beforehand, to as many clients over the same
// transport with the same options. What it costs is what gRPC and the kernel cost; a discovery
// server can only come near it. It runs as a process of its own and is told what to do by HTTP.
package floor

import (
	"context"
	"encoding/gob"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/bench/ads"
)

// Everyone is the class of clients for which there is nothing else.
const Everyone = ""

// Replies are the answers to first requests: by class of client, then by kind.
type Replies struct {
	Namespaced bool // the class of a client is its namespace; otherwise there is only Everyone
	Cold       map[string]map[ads.Kind][][]byte
	Warm       map[string]map[ads.Kind][][]byte // to clients that hold something
}

// Play is what to send to connected clients of these namespaces, or to all where there are none.
type Play struct {
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
	sending   sync.Mutex
}

// New gives a server that answers nothing yet.
func New() *Server { return &Server{streams: map[*stream]struct{}{}} }

// Serve serves clients and commands until ctx ends.
func (s *Server) Serve(ctx context.Context, clients, commands net.Listener) error {
	g := grpc.NewServer(append(transport(), grpc.ForceServerCodecV2(ads.Codec{}), grpc.UnknownServiceHandler(s.handle))...)
	h := &http.Server{Handler: s.commands(), ReadHeaderTimeout: 10 * time.Second}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return g.Serve(clients) })
	group.Go(func() error {
		if err := h.Serve(commands); err != http.ErrServerClosed {
			return err
		}
		return nil
	})
	group.Go(func() error {
		<-ctx.Done()
		g.Stop()
		return h.Close()
	})
	return group.Wait()
}

// transport are the options that pilot-discovery serves with.
func transport() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.ReadBufferSize(4096), grpc.WriteBufferSize(16384), grpc.MaxRecvMsgSize(8 << 20),
		grpc.ConnectionTimeout(10 * time.Second),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
	}
}

// handle serves one stream of either protocol.
func (s *Server) handle(_ any, st grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(st)
	own := &stream{ServerStream: st}
	defer s.remove(own)
	var answered [8]bool
	for first := true; ; first = false {
		var m ads.Raw
		if err := st.RecvMsg(&m); err != nil {
			return err
		}
		r, err := ads.ParseRequest(m.Bytes, method == ads.DeltaMethod)
		if err == nil && first {
			err = s.add(own, r.Node)
		}
		kind, warm, due := r.Kind, r.Warm, r.Known && len(r.Nonce) == 0
		m.Free()
		if err != nil {
			return status.Error(codes.InvalidArgument, err.Error())
		}
		if !due || answered[kind] {
			continue
		}
		answered[kind] = true
		for _, b := range s.reply(own.namespace, kind, warm) {
			if err := own.send(b); err != nil {
				return err
			}
		}
	}
}

func (s *stream) send(b []byte) error {
	s.sending.Lock()
	defer s.sending.Unlock()
	return s.SendMsg(&ads.Raw{Bytes: b})
}

func (s *Server) add(st *stream, node []byte) error {
	var n corev3.Node
	if err := proto.Unmarshal(node, &n); err != nil {
		return err
	}
	st.namespace = n.GetMetadata().GetFields()["NAMESPACE"].GetStringValue()
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

func (s *Server) reply(namespace string, k ads.Kind, warm bool) [][]byte {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if !s.replies.Namespaced {
		namespace = Everyone
	}
	if warm {
		return s.replies.Warm[namespace][k]
	}
	return s.replies.Cold[namespace][k]
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
		fmt.Fprintln(w, s.play(r.Context(), p))
	})
	return mux
}

// play sends the frames at their times, each stream in a goroutine of its own, as a server with a
// goroutine for each stream does. It gives the number of clients.
func (s *Server) play(ctx context.Context, p Play) int {
	among := map[string]bool{}
	for _, ns := range p.Namespaces {
		among[ns] = true
	}
	s.mu.RLock()
	var to []*stream
	for st := range s.streams {
		if len(among) == 0 || among[st.namespace] {
			to = append(to, st)
		}
	}
	s.mu.RUnlock()
	start := time.Now()
	var all sync.WaitGroup
	defer all.Wait()
	for _, st := range to {
		all.Go(func() {
			timer := time.NewTimer(0)
			defer timer.Stop()
			for _, f := range p.Frames {
				if wait := time.Until(start.Add(f.After)); wait > 0 {
					timer.Reset(wait)
					select {
					case <-timer.C:
					case <-ctx.Done():
						return
					}
				}
				if st.send(f.Bytes) != nil {
					return
				}
			}
		})
	}
	return len(to)
}
