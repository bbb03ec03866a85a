package discovery

import (
	"bytes"
	"context"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/test/envoytest"
)

// floods are what a caller without proof may send for as long as its connection is taken. Each round gives
// false once it is not.
var floods = map[string]func(f *http2.Framer, headers []byte, round int) error{
	"rapid reset (CVE-2023-44487)": func(f *http2.Framer, headers []byte, round int) error {
		id := uint32(2*round + 1)
		if err := f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: headers, EndHeaders: true}); err != nil {
			return err
		}
		return f.WriteRSTStream(id, http2.ErrCodeCancel)
	},
	"CONTINUATION without end (CVE-2024-30255)": func(f *http2.Framer, headers []byte, round int) error {
		if round == 0 {
			return f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: headers})
		}
		var more bytes.Buffer
		_ = hpack.NewEncoder(&more).WriteField(hpack.HeaderField{Name: "x", Value: string(bytes.Repeat([]byte("x"), 4096)), Sensitive: true})
		return f.WriteContinuation(1, false, more.Bytes())
	},
	"streams without end": func(f *http2.Framer, headers []byte, round int) error {
		return f.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*round + 1), BlockFragment: headers, EndHeaders: true})
	},
	"pings": func(f *http2.Framer, _ []byte, _ int) error { return f.WritePing(false, [8]byte{}) },
	"settings": func(f *http2.Framer, _ []byte, round int) error {
		return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(65535 + round%2)})
	},
	"no frames": func(f *http2.Framer, _ []byte, _ int) error {
		return f.WriteRawFrame(http2.FrameType(0xEE), http2.Flags(0xFF), 1<<31-1, bytes.Repeat([]byte{0xFF}, 1000))
	},
}

// flood sends rounds of a flood over a new connection, until it ends, and gives their number.
func flood(t *testing.T, addr string, send func(f *http2.Framer, headers []byte, round int) error) (rounds int) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second)) // of a flood that nobody reads
	answers := make(chan struct{})
	go func() {
		defer close(answers)
		_, _ = io.Copy(io.Discard, conn)
	}()
	defer func() { conn.Close(); <-answers }()
	var headers bytes.Buffer
	encoder := hpack.NewEncoder(&headers)
	for _, h := range [][2]string{
		{":method", "POST"},
		{":scheme", "http"},
		{":authority", "x"},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
		{":path", "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"},
	} {
		_ = encoder.WriteField(hpack.HeaderField{Name: h[0], Value: h[1], Sensitive: true})
	}
	_, _ = io.WriteString(conn, http2.ClientPreface)
	f := http2.NewFramer(conn, conn)
	f.AllowIllegalWrites = true
	if f.WriteSettings() != nil {
		return 0
	}
	for rounds < maxRounds && send(f, headers.Bytes(), rounds) == nil {
		rounds++
	}
	return rounds
}

// maxRounds are more than any bound, 40 MB of headers among others.
const maxRounds = 10_000

// Whatever frames a caller without proof sends, others are answered meanwhile, and little memory stays.
func TestFloodsOfFramesHarmNobody(t *testing.T) {
	p := running(t, nil)
	conn := dialGRPC(t, p.cfg.GRPCAddr, insecure.NewCredentials())
	served := func() bool { // its request is read and refused, as it has no node, or as strangers have all their streams
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		code := status.Code(ask(ctx, t, conn))
		return code == codes.InvalidArgument || code == codes.ResourceExhausted
	}
	heap := func() uint64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := heap()
	for name, send := range floods {
		done := make(chan struct{})
		go func() {
			defer close(done)
			if rounds := flood(t, p.cfg.GRPCAddr, send); rounds == maxRounds && strings.HasPrefix(name, "CONTINUATION") {
				t.Errorf("%s: all of it is taken", name)
			}
		}()
		if !served() {
			t.Errorf("%s: nobody else is served", name)
		}
		<-done
		envoytest.Eventually(t, name+" leaves little", func() bool { return heap() < before+16<<20 })
	}
}
