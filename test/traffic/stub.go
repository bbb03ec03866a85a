package traffic

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// stubName is the subject of the certificate of all servers.
const stubName = "stub"

// callHeader tells the servers which call a request is of, and upstreamHeader what to answer.
const callHeader, upstreamHeader = "X-Call", "X-Upstream"

// seen is what a server saw of a connection and of a request.
type seen struct {
	Address  string  // where it was sent
	Layers   []layer // of TLS, the outermost first
	Protocol string  // HTTP/1.1, HTTP/2 or TCP
	Path     string
	Host     string
	Header   http.Header
	Proxy    string // version of the PROXY protocol that the connection began with, v1 or v2; else empty
	Tunnel   string // what CONNECT asked for; else empty
}

// layer is one handshake.
type layer struct {
	SNI    string
	ALPN   []string
	Mutual bool // the client showed a certificate
}

// stub is every server that there is: all connections of Envoy come to its port, whatever their address.
type stub struct {
	certificate tls.Certificate
	greets      map[int]bool
	refuses     []int
	conns       chan net.Conn
	open        sync.WaitGroup

	mu       sync.Mutex
	requests map[string][]*seen // by call
}

// serveStub serves at a port of the namespace until the test ends.
func serveStub(t testing.TB, n *envoytest.Namespace, port int, certificate tls.Certificate, f *File) *stub {
	t.Helper()
	s := &stub{certificate: certificate, greets: map[int]bool{}, refuses: f.Refuses, conns: make(chan net.Conn), requests: map[string][]*seen{}}
	for _, p := range f.Greets {
		s.greets[p] = true
	}
	for _, network := range []string{"tcp4", "tcp6"} {
		l, err := n.Listen(network, port)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		s.open.Go(func() {
			for conn, err := l.Accept(); err == nil; conn, err = l.Accept() {
				go s.handle(conn.(*net.TCPConn))
			}
		})
	}
	server := &http.Server{
		Handler: http.HandlerFunc(s.answer), Protocols: new(http.Protocols),
		ConnContext: withConnection,
	}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(&handed{s.conns, make(chan struct{})}) }() // it ends with Close
	t.Cleanup(func() { server.Close() })
	return s
}

// connection is a connection whose first bytes were looked at.
type connection struct {
	net.Conn
	in   *bufio.Reader
	seen seen
}

func (c *connection) Read(b []byte) (int, error) { return c.in.Read(b) }

// handle finds out what is spoken, TLS by TLS, and answers it.
func (s *stub) handle(raw *net.TCPConn) {
	to, err := envoytest.OriginalDestination(raw)
	if err != nil {
		raw.Close()
		return
	}
	if slices.Contains(s.refuses, int(to.Port())) {
		raw.Close()
		return
	}
	c := &connection{Conn: raw, in: bufio.NewReader(raw), seen: seen{Address: to.String()}}
	if s.greets[int(to.Port())] {
		c.seen.Protocol = "TCP"
		s.bytes(c)
		return
	}
	if c.seen.Proxy, err = proxied(c.in); err != nil {
		c.Close()
		return
	}
	for {
		first, err := c.in.Peek(1)
		if err != nil {
			c.Close()
			return
		}
		if start, _ := c.in.Peek(4); string(start) == "CONN" {
			if !s.tunnelled(c) {
				c.Close()
				return
			}
			continue
		}
		if first[0] != 0x16 { // a handshake of TLS
			break
		}
		if c = s.unwrap(c); c == nil {
			return
		}
	}
	if start, _ := c.in.Peek(4); speaksHTTP(string(start)) {
		s.conns <- c
		return
	}
	_, _ = c.in.Read(make([]byte, 1<<14))
	c.seen.Protocol = "TCP"
	s.bytes(c)
}

func speaksHTTP(start string) bool {
	for _, method := range []string{"GET ", "POST", "PUT ", "HEAD", "OPTI", "PRI ", "DELE", "PATC"} {
		if start == method {
			return true
		}
	}
	return false
}

// unwrap answers a handshake; nil where that fails.
func (s *stub) unwrap(c *connection) *connection {
	var hello layer
	conn := tls.Server(c, &tls.Config{
		Certificates: []tls.Certificate{s.certificate}, ClientAuth: tls.RequestClientCert,
		GetConfigForClient: func(h *tls.ClientHelloInfo) (*tls.Config, error) {
			hello.SNI, hello.ALPN = h.ServerName, h.SupportedProtos
			out := &tls.Config{Certificates: []tls.Certificate{s.certificate}, ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS13}
			if len(h.SupportedProtos) > 0 {
				out.NextProtos = h.SupportedProtos[:1]
			}
			return out, nil
		},
	})
	if err := conn.Handshake(); err != nil {
		conn.Close()
		return nil
	}
	hello.Mutual = len(conn.ConnectionState().PeerCertificates) > 0
	out := &connection{Conn: conn, in: bufio.NewReader(conn), seen: c.seen}
	out.seen.Layers = append(out.seen.Layers, hello)
	return out
}

// bytes says what was seen, and ends the connection.
func (s *stub) bytes(c *connection) {
	defer c.Close()
	_ = json.NewEncoder(c).Encode(c.seen)
	if closer, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		_ = closer.CloseWrite()
	}
	_, _ = io.Copy(io.Discard, c) // until the client has read it all
}

// answer says what was seen of a request, or does what the call asks for.
func (s *stub) answer(w http.ResponseWriter, r *http.Request) {
	tunnelled := r.Method == http.MethodConnect // of HTTP/2, for an upgrade; its body ends with the tunnel
	if !tunnelled {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	saw := connectionOf(r.Context()).seen
	saw.Path, saw.Host, saw.Header = r.RequestURI, r.Host, r.Header
	saw.Protocol = strings.TrimSuffix(r.Proto, ".0")
	s.mu.Lock()
	s.requests[r.Header.Get(callHeader)] = append(s.requests[r.Header.Get(callHeader)], &saw)
	s.mu.Unlock()
	grpc := strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
	text, _ := json.Marshal(saw)
	switch do := r.Header.Get(upstreamHeader); {
	case do == "slow":
		<-r.Context().Done()
	case do == "reset":
		panic(http.ErrAbortHandler)
	case tunnelled:
		if r.Header.Get(":protocol") != "websocket" {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		_, _ = w.Write(text)
	case r.Header.Get("Upgrade") != "":
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n%s\n", r.Header.Get("Upgrade"), text)
	case grpc:
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		w.Header().Set("X-Seen", string(text))
		w.Header().Set("Trailer", "Grpc-Status")
		w.Header().Set("Grpc-Status", "0")
	default:
		if status, err := strconv.Atoi(do); err == nil {
			w.WriteHeader(status)
		}
		_, _ = w.Write(text)
	}
}

// of gives what servers saw of a call.
func (s *stub) of(call string) []*seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[call]
}

// handed is a listener of connections that were accepted elsewhere.
type handed struct {
	conns chan net.Conn
	end   chan struct{}
}

func (h *handed) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.end:
		return nil, errors.New("closed")
	}
}

func (h *handed) Close() error {
	close(h.end)
	return nil
}

func (h *handed) Addr() net.Addr { return net.TCPAddrFromAddrPort(netip.AddrPort{}) }
