package traffic

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/explain"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// patience is how long a call may take.
const patience = 20 * time.Second

// contextKey is of the connection that a request came on.
type contextKey struct{}

func withConnection(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

func connectionOf(ctx context.Context) *connection { return ctx.Value(contextKey{}).(*connection) }

// got is what a client got.
type got struct {
	port        int // of the client
	status      int
	header      http.Header
	body        string
	seen        *seen  // by the server that answered; nil for none
	closed      bool   // the connection ended without an answer
	passthrough bool   // TLS ended at the server
	presented   string // names of DNS in the certificate that the client saw
}

// send makes a call.
func (r *runner) send(ctx context.Context, call *Call, id string) (*got, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if call.request.Protocol == explain.HTTP3 {
		return r.http3.send(ctx, call, id)
	}
	raw, err := r.namespace.Dial(ctx, call.request.Source, call.request.Destination, marks[call.Way])
	if err != nil {
		return &got{closed: true}, nil //nolint:nilerr // refused
	}
	defer raw.Close()
	deadline, _ := ctx.Deadline()
	_ = raw.SetDeadline(deadline)
	out := &got{port: raw.LocalAddr().(*net.TCPAddr).Port}
	conn := raw
	if call.request.TLS != nil {
		c := tls.Client(raw, r.settings(call))
		if err := c.HandshakeContext(ctx); err != nil {
			out.closed = true
			return out, nil //nolint:nilerr // an answer of its kind
		}
		server := c.ConnectionState().PeerCertificates[0]
		out.presented = strings.Join(server.DNSNames, ",")
		out.passthrough = server.Subject.CommonName == stubName
		conn = c
	}
	switch call.request.Protocol {
	case explain.TCP:
		out.talk(conn, !strings.HasPrefix(call.scheme, "first"))
	case explain.HTTP10:
		r.plain(conn, call, id, out)
	default:
		err = out.request(ctx, conn, call, id)
	}
	return out, err
}

// talk sends bytes, unless the server is the first to speak, and reads all that comes back.
func (g *got) talk(conn net.Conn, first bool) {
	if first {
		_, _ = io.WriteString(conn, "\x01\x02 no request\n")
	}
	text, _ := io.ReadAll(bufio.NewReader(io.LimitReader(conn, 1<<20)))
	g.take(string(text))
}

// take reads what a server saw.
func (g *got) take(text string) {
	g.body = text
	var s seen
	switch {
	case json.Unmarshal([]byte(text), &s) == nil && s.Address != "":
		g.seen = &s
	case text == "":
		g.closed = true
	case strings.HasPrefix(text, "HTTP/1.1 "):
		_, _ = fmt.Sscanf(text, "HTTP/1.1 %d", &g.status)
	}
}

// plain sends a request of HTTP/1.0, which Go's client cannot.
func (r *runner) plain(conn net.Conn, call *Call, id string, out *got) {
	fmt.Fprintf(conn, "GET %s HTTP/1.0\r\nHost: %s\r\n%s: %s\r\n\r\n", call.request.Path, call.request.Host, callHeader, id)
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		out.closed = true
		return
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	out.status, out.header = res.StatusCode, res.Header
	out.take(string(text))
	out.closed = false
}

// request sends a request of HTTP/1.1 or HTTP/2 on a connection.
func (g *got) request(ctx context.Context, conn net.Conn, call *Call, id string) error {
	r := call.request
	var body io.Reader
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
		body = strings.NewReader("\x00\x00\x00\x00\x00") // an empty message
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, "http://address"+r.Path, body)
	if err != nil {
		return err
	}
	req.Host = r.Host
	req.Header = r.Header.Clone()
	req.Header.Set(callHeader, id)
	if call.Upstream != "" {
		req.Header.Set(upstreamHeader, call.Upstream)
	}
	transport := &http.Transport{
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
		DisableKeepAlives: true, DisableCompression: true, Protocols: new(http.Protocols),
	}
	if call.scheme == "h2" { // whose requests name their scheme
		transport.DialTLSContext, req.URL.Scheme = transport.DialContext, "https"
		transport.Protocols.SetHTTP2(true)
	}
	if call.Absolute {
		req.URL.Host, transport.Proxy = r.Host, http.ProxyURL(&url.URL{Scheme: "http", Host: "proxy"})
	}
	transport.Protocols.SetHTTP1(r.Protocol != explain.HTTP2)
	transport.Protocols.SetUnencryptedHTTP2(r.Protocol == explain.HTTP2)
	defer transport.CloseIdleConnections()
	res, err := transport.RoundTrip(req)
	if err != nil {
		g.closed = true
		return nil //nolint:nilerr // an answer of its kind
	}
	defer res.Body.Close()
	text, _ := io.ReadAll(res.Body)
	g.status, g.header = res.StatusCode, res.Header
	if call.scheme == "grpc-web" && res.StatusCode == http.StatusOK && !strings.Contains(string(text), "grpc-status:0") {
		return fmt.Errorf("the call's status does not come back in the body: %q", text)
	}
	g.take(string(text))
	if s := res.Header.Get("X-Seen"); s != "" {
		g.take(s)
	}
	g.closed = false
	return nil
}

// marks tell the ways of connections apart.
var marks = map[explain.Way]int{explain.Outbound: 1, explain.Inbound: 2, explain.Direct: 3}

// Ports that captured connections go to, and all of Envoy's own.
const outboundPort, inboundPort, stubPort = 15001, 15006, 19999

// runner is an Envoy with one proxy's resources, and all servers behind it.
type runner struct {
	namespace *envoytest.Namespace
	envoy     *envoytest.Envoy
	stub      *stub
	mesh      tls.Certificate
	logs      string
	http3     *http3Client // nil where no call needs it
	endpoints map[string]proto.Message
}
