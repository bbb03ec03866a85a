package translate

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

const websocketYAML = `
apiVersion: v1
kind: Service
metadata: {name: chat, namespace: default}
spec: {clusterIP: 10.96.0.10, selector: {app: chat}, ports: [{name: http, port: 9080, targetPort: %[1]d}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: chat, namespace: default}
spec: {host: chat, trafficPolicy: {connectionPool: {http: {h2UpgradePolicy: UPGRADE}}}}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: default, namespace: default}
spec: {mtls: {mode: DISABLE}}
`

// An upgrade to WebSocket goes over HTTP/2 where h2UpgradePolicy asks for that, as RFC 8441 has it, and comes
// out of the server's sidecar as the upgrade that it was. With Istio it ends in an error there.
func TestEnvoyWebSocketOverHTTP2(t *testing.T) {
	port := envoytest.FreePort(t)
	input := fmt.Sprintf(websocketYAML, port)
	t.Run("client's sidecar", func(t *testing.T) {
		t.Parallel()
		s := serve(t, translate(t, input, Proxy{}), place{listener: "0.0.0.0_9080", handle: func(conn net.Conn) { serveTunnel(t, conn) }})
		conn := dial(t, s.addr)
		fmt.Fprint(conn, "GET /chat HTTP/1.1\r\nHost: chat:9080\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
		in := bufio.NewReader(conn)
		if res, err := http.ReadResponse(in, nil); err != nil || res.StatusCode != http.StatusSwitchingProtocols {
			t.Fatalf("%+v, %v", res, err)
		}
		echoes(t, conn, in)
	})
	t.Run("server's sidecar", func(t *testing.T) {
		t.Parallel()
		res := translate(t, input, Proxy{Labels: map[string]string{"app": "chat"}})
		s := serve(t, res, place{listener: model.VirtualInboundListener, port: port, handle: func(conn net.Conn) { serveWebSocket(t, conn) }})
		conn := dial(t, s.addr)
		if _, err := io.WriteString(conn, http2.ClientPreface); err != nil {
			t.Fatal(err)
		}
		tun := newTunnel(conn)
		if err := tun.WriteSettings(); err != nil {
			t.Fatal(err)
		}
		for tun.settings[http2.SettingEnableConnectProtocol] != 1 {
			if _, err := tun.next(); err != nil {
				t.Fatal(err)
			}
		}
		tun.headers(t, ":method", "CONNECT", ":protocol", "websocket", ":scheme", "http", ":path", "/chat", ":authority", "chat:9080", "sec-websocket-version", "13")
		if f := tun.until(t, http2.FrameHeaders); field(f, ":status") != "200" {
			t.Fatalf("the answer is %v", f)
		}
		if err := tun.WriteData(1, false, []byte("ping")); err != nil {
			t.Fatal(err)
		}
		if f := tun.until(t, http2.FrameData); string(f.(*http2.DataFrame).Data()) != "ping" {
			t.Errorf("the echo is %v", f)
		}
	})
}

func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // what does not come is a failure
	return conn
}

func echoes(t *testing.T, conn net.Conn, in io.Reader) {
	t.Helper()
	got := make([]byte, 4)
	if _, err := io.WriteString(conn, "ping"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(in, got); err != nil || string(got) != "ping" {
		t.Errorf("the echo is %q, %v", got, err)
	}
}

// serveWebSocket takes an upgrade of HTTP/1.1 and sends bytes back.
func serveWebSocket(t *testing.T, conn net.Conn) {
	in := bufio.NewReader(conn)
	req, err := http.ReadRequest(in)
	if err != nil {
		return // a connection that Envoy opened and did not use
	}
	if req.Method != http.MethodGet || req.Header.Get("Upgrade") != "websocket" || req.Host != "chat:9080" {
		t.Errorf("the workload sees %s %s, %v", req.Method, req.Host, req.Header)
	}
	fmt.Fprint(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
	_, _ = io.Copy(conn, in)
}

// serveTunnel takes an extended CONNECT of HTTP/2 and sends bytes back.
func serveTunnel(t *testing.T, conn net.Conn) {
	preface := make([]byte, len(http2.ClientPreface))
	if _, err := io.ReadFull(conn, preface); err != nil {
		return // a connection that Envoy opened and did not use
	}
	tun := newTunnel(conn)
	if tun.WriteSettings(http2.Setting{ID: http2.SettingEnableConnectProtocol, Val: 1}) != nil {
		return
	}
	for f, err := tun.next(); err == nil; f, err = tun.next() {
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			if field(f, ":method") != "CONNECT" || field(f, ":protocol") != "websocket" || field(f, ":path") != "/chat" {
				t.Errorf("the server's side sees %v", f.Fields)
			}
			tun.headers(t, ":status", "200")
		case *http2.DataFrame:
			_ = tun.WriteData(f.StreamID, false, f.Data()) // Envoy may be gone
		}
	}
}

// tunnel is one stream of HTTP/2.
type tunnel struct {
	*http2.Framer
	settings map[http2.SettingID]uint32
}

func newTunnel(conn net.Conn) *tunnel {
	f := http2.NewFramer(conn, conn)
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil) // HTTP/2's default of the table's size
	return &tunnel{f, map[http2.SettingID]uint32{}}
}

// next gives a frame, with settings and pings answered.
func (c *tunnel) next() (http2.Frame, error) {
	f, err := c.ReadFrame()
	switch f := f.(type) {
	case *http2.SettingsFrame:
		if !f.IsAck() {
			_ = f.ForeachSetting(func(s http2.Setting) error { c.settings[s.ID] = s.Val; return nil })
			err = c.WriteSettingsAck()
		}
	case *http2.PingFrame:
		err = c.WritePing(true, f.Data)
	}
	return f, err
}

func (c *tunnel) until(t *testing.T, want http2.FrameType) http2.Frame {
	t.Helper()
	for {
		f, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if f.Header().Type == want {
			return f
		}
		if _, reset := f.(*http2.RSTStreamFrame); reset {
			t.Fatal(f)
		}
	}
}

func (c *tunnel) headers(t *testing.T, pairs ...string) {
	var block bytes.Buffer
	e := hpack.NewEncoder(&block)
	for i := 0; i < len(pairs); i += 2 {
		_ = e.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]}) // into memory
	}
	if err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block.Bytes(), EndHeaders: true}); err != nil {
		t.Error(err)
	}
}

// field gives a header of a frame, ordinary or not.
func field(f http2.Frame, name string) string {
	for _, h := range f.(*http2.MetaHeadersFrame).Fields {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}
