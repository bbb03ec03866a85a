package kubetest

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"sync"
	"testing"

	"k8s.io/client-go/rest"
)

// Faults is a way to a server on which questions can go wrong. It is by pipes, so that a bubble of testing/synctest
// can hold it.
type Faults struct {
	of *Server

	mu     sync.Mutex
	faults map[string]http.HandlerFunc
}

// Faulty gives a way to the server, until the test ends.
func (s *Server) Faulty(t *testing.T) (*Faults, *rest.Config) {
	f := &Faults{of: s, faults: map[string]http.HandlerFunc{}}
	pipes := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
	server := &http.Server{Handler: f}
	served := make(chan error)
	go func() { served <- server.Serve(pipes) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	return f, &rest.Config{Host: "http://api.example.com", Dial: pipes.dial}
}

// Mended answers a question rightly.
func (f *Faults) Mended(w http.ResponseWriter, r *http.Request) { f.of.ServeHTTP(w, r) }

// Answer has a fault answer questions, "list RESOURCE" or "watch RESOURCE", in the server's place; nil mends it.
func (f *Faults) Answer(question string, fault http.HandlerFunc) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults[question] = fault
}

// ServeHTTP passes a question on that does not go wrong.
func (f *Faults) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	verb := "list "
	if r.URL.Query().Get("watch") != "" {
		verb = "watch "
	}
	f.mu.Lock()
	fault := f.faults[verb+resource(r.URL.Path)]
	f.mu.Unlock()
	if fault != nil && r.URL.Query().Get("sendInitialEvents") == "" {
		fault(w, r)
		return
	}
	f.of.ServeHTTP(w, r)
}

// Hang answers nothing for as long as somebody waits.
func Hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Silent begins a watch in which nothing is told, and which does not end.
func Silent(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.(http.Flusher).Flush()
	Hang(w, r)
}

// Refuse refuses a question.
func Refuse(code int, reason string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { refuse(w, code, reason) }
}

// Expired begins a watch that ends at once, since its version is too old.
func Expired(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(event{Type: "ERROR", Object: refusal(http.StatusGone, "Expired")})
}

// pipes is a listener of connections that never leave the process.
type pipes struct {
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case p.conns <- server:
		return client, nil
	case <-p.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept gives the next connection.
func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (p *pipes) Close() error {
	p.once.Do(func() { close(p.closed) })
	return nil
}

// Addr is none.
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
