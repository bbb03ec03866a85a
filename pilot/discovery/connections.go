package discovery

import (
	"container/list"
	"math"
	"net"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc/peer"
)

const (
	// maxConnections bounds the connections of all ports together, whatever descriptors there are.
	maxConnections = 1 << 16
	// maxUnproven bounds those whose callers have proven nothing; over TLS that takes milliseconds.
	maxUnproven = 2000
	// maxUnprovenPeer bounds those of one address. An API server proves nothing, and asks about as many objects
	// at a time as it serves requests, 600 by default, each over a connection of its own.
	maxUnprovenPeer = 1000
	// reservedDescriptors are left for files, at least: configuration has to be read under a flood too.
	reservedDescriptors = 256
)

// localCaller is the identity of connections to a port that only the machine itself reaches.
const localCaller = "the machine itself"

// connections bounds the open connections of all ports. Those without proof have places of their own. Where
// there are too many, the oldest ends of the address that has the most. So they take no place from a caller with
// proof, and a caller that comes to prove itself gets in. Where those with proof are too many, the oldest ends
// of the identity that has the most.
type connections struct {
	maxProven, maxUnproven, maxPeer int
	ended                           *prometheus.CounterVec // by what they were too many of

	mu       sync.Mutex
	open     map[endpoints]*connection
	unproven *list.List     // of *connection, the oldest first
	peers    map[string]int // unproven ones, by address
	proven   map[string]*list.List
	number   int // of proven ones
}

// endpoints tell connections apart.
type endpoints struct{ local, remote string }

// connection is one of a connections.
type connection struct {
	net.Conn
	all      *connections
	by       *guardedListener
	identity string // "" before a proof
	at       *list.Element
	gone     sync.Once
}

// newConnections shares out a number of descriptors.
func newConnections(descriptors int, reg prometheus.Registerer) *connections {
	reserved := min(max(reservedDescriptors, descriptors/8), descriptors/2)
	limit := min(descriptors-reserved, maxConnections)
	unproven := max(1, min(maxUnproven, limit/4))
	ended := counters("pilot_connections_ended_total",
		"Connections that were ended for others, as one address, all callers without proof, or all with proof had too many.", "of")
	reg.MustRegister(ended)
	return &connections{
		ended:     ended,
		maxProven: max(1, limit-unproven), maxUnproven: unproven, maxPeer: max(1, min(maxUnprovenPeer, unproven/2)),
		open: map[endpoints]*connection{}, unproven: list.New(), peers: map[string]int{}, proven: map[string]*list.List{},
	}
}

// descriptors tells how many files and connections the process may have open.
func descriptors() int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return 1024
	}
	return int(min(limit.Cur, math.MaxInt32))
}

// guard gives a listener whose connections are bounded.
func (c *connections) guard(l net.Listener) net.Listener {
	return &guardedListener{Listener: l, all: c, local: onLoopback(l.Addr())}
}

// guardEnding is guard for a server that ends at once: with the listener its connections end. A server of gRPC closes
// listeners first, and then waits for each handshake, of which a caller that says nothing has as long as it takes.
func (c *connections) guardEnding(l net.Listener) net.Listener {
	return &guardedListener{Listener: l, all: c, local: onLoopback(l.Addr()), ends: true}
}

type guardedListener struct {
	net.Listener
	all   *connections
	local bool
	ends  bool
}

// Close ends the listener.
func (l *guardedListener) Close() error {
	err := l.Listener.Close()
	if l.ends {
		for _, c := range l.all.of(l) {
			_ = c.Close() // its peer reads that it has ended
		}
	}
	return err
}

// of gives the connections that came by a listener.
func (c *connections) of(l *guardedListener) []*connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []*connection
	for _, conn := range c.open {
		if conn.by == l {
			out = append(out, conn)
		}
	}
	return out
}

// Accept gives the next connection that there is a place for.
func (l *guardedListener) Accept() (net.Conn, error) {
	for {
		raw, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if c := l.all.enter(raw, l); c != nil {
			return c, nil
		}
		_ = raw.Close() // it was never used
	}
}

// enter takes in a connection, or gives nil where its address has too many.
func (c *connections) enter(raw net.Conn, by *guardedListener) *connection {
	conn := &connection{Conn: raw, all: c, by: by}
	var end *connection
	c.mu.Lock()
	from := hostOf(raw.RemoteAddr())
	switch {
	case by.local:
		end = c.place(conn, localCaller)
	case c.peers[from] >= c.maxPeer:
		c.mu.Unlock()
		c.ended.WithLabelValues("address").Inc()
		return nil
	default:
		if c.unproven.Len() >= c.maxUnproven {
			end = c.mostUnproven()
			c.displace(end)
			c.ended.WithLabelValues("unproven").Inc()
		}
		conn.at = c.unproven.PushBack(conn)
		c.peers[from]++
	}
	c.open[conn.endpoints()] = conn
	c.mu.Unlock()
	if end != nil {
		_ = end.Close() // its peer reads that it has ended
	}
	return conn
}

// mostUnproven gives the oldest connection without proof of the address that has the most of them: whoever
// opens many loses one, and not the caller that is about to prove itself. The caller holds the mutex.
func (c *connections) mostUnproven() *connection {
	most := 0
	for _, n := range c.peers {
		most = max(most, n)
	}
	at := c.unproven.Front()
	for c.peers[hostOf(at.Value.(*connection).RemoteAddr())] < most {
		at = at.Next()
	}
	return at.Value.(*connection)
}

// prove notes what the caller on a connection proved.
func (c *connections) prove(p *peer.Peer, identity string) {
	if p == nil || p.LocalAddr == nil {
		return
	}
	c.mu.Lock()
	conn := c.open[endpoints{p.LocalAddr.String(), p.Addr.String()}]
	if conn == nil || conn.identity != "" {
		c.mu.Unlock()
		return
	}
	c.displace(conn)
	end := c.place(conn, identity)
	c.mu.Unlock()
	if end != nil {
		_ = end.Close()
	}
}

// place gives a connection a place among those of an identity, and the one that has to end for it, or
// nil. The caller holds the mutex.
func (c *connections) place(conn *connection, identity string) (end *connection) {
	if c.number >= c.maxProven {
		var most *list.List
		for _, l := range c.proven {
			if most == nil || l.Len() > most.Len() {
				most = l
			}
		}
		end = most.Front().Value.(*connection)
		c.displace(end)
		c.ended.WithLabelValues("proven").Inc()
	}
	if c.proven[identity] == nil {
		c.proven[identity] = list.New()
	}
	conn.identity, conn.at = identity, c.proven[identity].PushBack(conn)
	c.number++
	return end
}

// displace takes a connection's place away. The caller holds the mutex.
func (c *connections) displace(conn *connection) {
	switch {
	case conn.at == nil:
		return
	case conn.identity == "":
		c.unproven.Remove(conn.at)
		from := hostOf(conn.RemoteAddr())
		if c.peers[from]--; c.peers[from] == 0 {
			delete(c.peers, from)
		}
	default:
		c.proven[conn.identity].Remove(conn.at)
		if c.proven[conn.identity].Len() == 0 {
			delete(c.proven, conn.identity)
		}
		c.number--
	}
	conn.at = nil
}

func (c *connection) endpoints() endpoints {
	return endpoints{c.LocalAddr().String(), c.RemoteAddr().String()}
}

// Close ends the connection and gives its place to another.
func (c *connection) Close() error {
	c.gone.Do(func() {
		c.all.mu.Lock()
		defer c.all.mu.Unlock()
		c.all.displace(c)
		delete(c.all.open, c.endpoints())
	})
	return c.Conn.Close()
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// onLoopback tells whether only the machine itself reaches a listener.
func onLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
