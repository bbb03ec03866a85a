package discovery

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/peer"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// address is one end of a connection that there is only in the test.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

// fakeConn tells when it was closed.
type fakeConn struct {
	net.Conn
	remote string
	closed bool
}

func (c *fakeConn) LocalAddr() net.Addr  { return address("192.0.2.1:15012") }
func (c *fakeConn) RemoteAddr() net.Addr { return address(c.remote) }

func (c *fakeConn) Close() error {
	c.closed = true
	return nil
}

func (c *fakeConn) peer() *peer.Peer {
	return &peer.Peer{Addr: c.RemoteAddr(), LocalAddr: c.LocalAddr()}
}

func TestConnectionsWithoutProofTakeNoPlaceFromThoseWithProof(t *testing.T) {
	reg := prometheus.NewRegistry()
	c := newConnections(1024, reg)
	if total := c.maxProven + c.maxUnproven; total > 1024-reservedDescriptors {
		t.Errorf("%d connections of 1024 descriptors", total)
	}
	c.maxProven, c.maxUnproven, c.maxPeer = 4, 3, 2
	open := func(from string) *fakeConn {
		raw := &fakeConn{remote: from}
		c.enter(raw, &guardedListener{})
		return raw
	}
	prove := func(from, identity string) *fakeConn {
		raw := open(from)
		c.prove(raw.peer(), identity)
		return raw
	}
	a := []*fakeConn{prove("10.0.0.1:1", "a"), prove("10.0.0.1:2", "a"), prove("10.0.0.1:3", "a")}
	b := prove("10.0.0.2:1", "b")
	first := open("10.0.9.1:1")
	for port := 2; port < 100; port++ {
		open(fmt.Sprint("10.0.9.1:", port))
	}
	if c.unproven.Len() != 2 || first.closed {
		t.Errorf("one address has %d connections without proof; the first is closed: %v", c.unproven.Len(), first.closed)
	}
	open("10.0.9.2:1")
	open("10.0.9.3:1")
	if c.unproven.Len() != 3 || !first.closed {
		t.Errorf("%d connections without proof; the oldest is closed: %v", c.unproven.Len(), first.closed)
	}
	for _, conn := range append(a, b) {
		if conn.closed {
			t.Errorf("a flood without proof ended the connection of %s", conn.remote)
		}
	}
	prove("10.0.0.3:1", "c") // gets in through the flood, at the cost of who has the most
	if !a[0].closed || a[1].closed || b.closed || c.number != 4 {
		t.Errorf("closed: %v %v %v; %d with proof", a[0].closed, a[1].closed, b.closed, c.number)
	}
	for of, want := range map[string]float64{"address": 97, "unproven": 2, "proven": 1} {
		if got := samples(t, reg)["pilot_connections_ended_total{of="+of+"}"]; got != want {
			t.Errorf("%s: %v are counted, want %v", of, got, want)
		}
	}
	for _, conn := range c.open {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	if len(c.open)+c.unproven.Len()+len(c.peers)+len(c.proven)+c.number != 0 {
		t.Errorf("something is left: %+v", c)
	}
}

// TestAnAPIServerAsksAboutManyObjectsAtATime has as many connections of one address as an API server serves
// requests by default.
func TestAnAPIServerAsksAboutManyObjectsAtATime(t *testing.T) {
	c := newConnections(1<<20, prometheus.NewRegistry())
	for port := range 600 {
		if raw := (&fakeConn{remote: fmt.Sprint("10.0.0.1:", port)}); c.enter(raw, &guardedListener{}) == nil || raw.closed {
			t.Fatalf("connection %d is refused", port)
		}
	}
}

func TestPortOfLoopbackHasNoStrangers(t *testing.T) {
	c := newConnections(1024, prometheus.NewRegistry())
	c.maxProven, c.maxPeer = 3, 1
	var all []*fakeConn
	for port := range 5 {
		raw := &fakeConn{remote: fmt.Sprint("127.0.0.1:", port)}
		c.enter(raw, &guardedListener{local: true})
		all = append(all, raw)
	}
	if !all[0].closed || !all[1].closed || all[2].closed || c.number != 3 {
		t.Errorf("%d are open", c.number)
	}
}

func TestAnonymousLimitsFollowTheAddress(t *testing.T) {
	for addr, want := range map[string]int{
		":15010": 500, "0.0.0.0:15010": 500, "10.0.0.1:15010": 500, "127.0.0.1:15010": 0, "[::1]:1": 0, "localhost:1": 0, "": 500,
	} {
		cfg := Config{GRPCAddr: addr}
		limits := cfg.anonymousLimits()
		classes := want / 5
		if want == 0 {
			classes = maxIdentityClasses
		}
		if limits.Streams != want || limits.PeerStreams != want/5 || cfg.anonymousClasses() != classes || cfg.peerClasses() != want/25 {
			t.Errorf("%q: %+v, %d classes, %d of one address", addr, limits, cfg.anonymousClasses(), cfg.peerClasses())
		}
		if got := cfg.anonymousRequest(); got >= maxRequest || got > maxAnonymousRequest && want > 0 {
			t.Errorf("%q: requests of %d bytes", addr, cfg.anonymousRequest())
		}
	}
	if got := (&Config{GRPCAddr: ":1", MaxAnonymousStreams: -1}).anonymousClasses(); got != 0 {
		t.Errorf("%d classes", got)
	}
	if got := (&Config{GRPCAddr: ":1", MaxAnonymousStreams: -1}).anonymousLimits().Streams; got != 0 {
		t.Errorf("without a bound: %d", got)
	}
	if got := (&Config{GRPCAddr: "127.0.0.1:1", MaxAnonymousStreams: 50}).anonymousLimits().PeerStreams; got != 10 {
		t.Errorf("with a bound of its own: %d", got)
	}
}

// dialAll opens connections that say nothing, and tells how many of them the server has ended.
func dialAll(t *testing.T, addr string, n int) (ended func() int) {
	t.Helper()
	var all []net.Conn
	for range n {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		all = append(all, conn)
	}
	return func() int {
		n := 0
		for _, conn := range all {
			if err := conn.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, conn); err == nil || !strings.Contains(err.Error(), "timeout") {
				n++
			}
		}
		return n
	}
}

// A flood of silent connections to every port leaves room for those who say something.
func TestFloodOfSilentConnectionsIsBounded(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n")
	cfg := testConfig(t, dir)
	p := newPlane(cfg)
	p.connections.maxProven = 40 // all ports of the test are of loopback
	serve(t, p.run)
	envoytest.Eventually(t, "serving", p.serving.Load)
	for _, addr := range []string{cfg.GRPCAddr, cfg.SecureGRPCAddr, cfg.HTTPAddr, cfg.MonitoringAddr} {
		began, ended := time.Now(), dialAll(t, addr, 100)
		envoytest.Eventually(t, "some of the flood at "+addr+" ended", func() bool { return ended() >= 60 })
		if took := time.Since(began); took > 9*time.Second { // after ten seconds each ends by itself, for its silence
			t.Errorf("the flood at %s was endured for %v", addr, took)
		}
		if code, body := get(t, "http://"+cfg.HTTPAddr+"/ready"); code != http.StatusOK {
			t.Errorf("after a flood at %s: %d %s", addr, code, body)
		}
		http.DefaultClient.CloseIdleConnections()
	}
}

func TestHTTPHeadersAreBoundedInTimeAndSize(t *testing.T) {
	s := newHTTPServer(http.NotFoundHandler())
	if s.ReadHeaderTimeout == 0 || s.ReadTimeout == 0 || s.WriteTimeout == 0 || s.IdleTimeout == 0 {
		t.Errorf("a server without time limits: %+v", s)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(l) }()
	defer func() {
		s.Close()
		<-done
	}()
	r, err := http.NewRequest(http.MethodGet, "http://"+l.Addr().String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for size, want := range map[int]int{maxHeaders / 2: 404, 2 * maxHeaders: 431} {
		r.Header.Set("X", strings.Repeat("x", size))
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != want {
			t.Errorf("%d bytes of headers: %d, want %d", size, resp.StatusCode, want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}

// Callers that connect and say nothing do not keep the control plane from ending.
func TestWhoSaysNothingHoldsUpNoEnd(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "a.yaml", "apiVersion: v1\nkind: Namespace\nmetadata: {name: default}\n")
	p := newPlane(testConfig(t, dir))
	p.handshake = time.Hour
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.run(ctx) }()
	envoytest.Eventually(t, "serving", p.serving.Load)
	for _, addr := range []string{p.cfg.GRPCAddr, p.cfg.SecureGRPCAddr} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	envoytest.Eventually(t, "both connections are taken", func() bool {
		p.connections.mu.Lock()
		defer p.connections.mu.Unlock()
		return len(p.connections.open) == 2
	})
	cancel()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Fatal("it waits for those who say nothing")
	}
}
