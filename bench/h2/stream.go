// Package h2 is the client's side of one gRPC stream on a connection of its own, in HTTP/2 as it
// is on the wire. gRPC's own client needs four goroutines for each stream, and the simulated
// proxies would take more of the machine than the server that they measure. Here a Poller reads and
// answers thousands of streams in one goroutine.
package h2

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"slices"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc/mem"
)

const (
	// window is how many bytes the server may send ahead, as Istio's agent allows.
	window = 1 << 20
	// protocolWindow is what either side may send before it was told otherwise.
	protocolWindow = 1<<16 - 1
	maxFrame       = 1 << 14 // payload of a frame, unless agreed otherwise
	prefix         = 5       // bytes before a gRPC message: a flag and its length
	// keep is the size up to which a stream keeps its buffers while it is idle.
	keep = 32 << 10
	// chunk is how much Receive reads at a time.
	chunk = 16 << 10
	// tlsRecord is how much a record of TLS has, as with this project's agent (agent/xdsproxy).
	tlsRecord  = 4 << 10
	onlyStream = 1 // the ID of a connection's first stream
	headerSize = 9 // of a frame
)

// Options of a stream.
type Options struct {
	Address string
	Method  string      // "/package.service/method"
	TLS     *tls.Config // nil for plaintext
}

// Stream is an open stream. Its methods are for one goroutine at a time.
type Stream struct {
	conn    io.ReadWriteCloser
	record  int // bytes that are written at once
	unwatch func() bool
	wire    bytes.Buffer // frames to be written
	frame   bytes.Reader // a frame that is being read
	framer  *http2.Framer

	part     []byte // of a frame that has not come as a whole
	in       []byte // what was received and is not read yet, from at on
	at       int
	pooled   *[]byte // the buffer behind in, where it was borrowed
	consumed uint32  // received bytes that the server was not told of yet
	buffer   []byte  // of Receive

	out                  []byte // framed messages that wait for the server's window
	windowOf, connWindow int64  // bytes that may be sent
	initial              int64  // the server's initial window for a stream
}

// Open connects and starts the stream. It ends with ctx, or by Close.
func Open(ctx context.Context, o Options) (*Stream, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", o.Address)
	if err != nil {
		return nil, err
	}
	scheme, record := "http", math.MaxInt
	if o.TLS != nil {
		scheme, record = "https", tlsRecord
		config := o.TLS.Clone()
		config.NextProtos = []string{http2.NextProtoTLS}
		secure := tls.Client(conn, config)
		if err := secure.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		conn = secure
	}
	s := &Stream{conn: conn, record: record, windowOf: protocolWindow, connWindow: protocolWindow, initial: protocolWindow}
	s.framer = http2.NewFramer(&s.wire, &s.frame)
	s.framer.SetReuseFrames()
	s.framer.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	s.unwatch = context.AfterFunc(ctx, func() { _ = conn.Close() }) // what reads or writes then fails
	if err := s.begin(scheme, o); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// begin writes the connection's preface and the request's headers.
func (s *Stream) begin(scheme string, o Options) error {
	var head headers
	for _, h := range [][2]string{
		{":method", "POST"},
		{":scheme", scheme},
		{":path", o.Method},
		{":authority", o.Address},
		{"content-type", "application/grpc"},
		{"te", "trailers"},
	} {
		head.add(h[0], h[1])
	}
	s.wire.WriteString(http2.ClientPreface)
	return errors.Join(
		s.framer.WriteSettings(http2.Setting{ID: http2.SettingEnablePush}, http2.Setting{ID: http2.SettingInitialWindowSize, Val: window}),
		s.framer.WriteWindowUpdate(0, window-protocolWindow),
		s.framer.WriteHeaders(http2.HeadersFrameParam{StreamID: onlyStream, BlockFragment: head.block(), EndHeaders: true}),
		s.Flush())
}

// Close ends the connection.
func (s *Stream) Close() error {
	s.unwatch()
	s.drop()
	return s.conn.Close()
}

// Send sends a message, as far as the server's window allows; the rest follows while Receive
// waits. The message may be changed afterwards. It leaves with the next Flush or Receive.
func (s *Stream) Send(message []byte) error {
	var head [prefix]byte
	binary.BigEndian.PutUint32(head[1:], uint32(len(message)))
	s.out = append(append(s.out, head[:]...), message...)
	return s.push()
}

// push writes what the windows allow.
func (s *Stream) push() error {
	rest := s.out
	for len(rest) > 0 && min(s.windowOf, s.connWindow) > 0 {
		n := int(min(int64(len(rest)), maxFrame, s.windowOf, s.connWindow))
		if err := s.framer.WriteData(onlyStream, false, rest[:n]); err != nil {
			return err
		}
		s.windowOf, s.connWindow, rest = s.windowOf-int64(n), s.connWindow-int64(n), rest[n:]
	}
	switch {
	case len(rest) == 0 && cap(s.out) > keep:
		s.out = nil
	case len(rest) < len(s.out):
		s.out = s.out[:copy(s.out, rest)]
	}
	return nil
}

// Flush writes what is due.
func (s *Stream) Flush() error {
	if s.wire.Len() == 0 {
		return nil
	}
	var err error
	for part := range slices.Chunk(s.wire.Bytes(), s.record) {
		if _, err = s.conn.Write(part); err != nil {
			break
		}
	}
	if s.wire.Reset(); s.wire.Cap() > keep {
		s.wire = bytes.Buffer{}
	}
	return err
}

// Receive waits for the next message, which is valid until the next call.
func (s *Stream) Receive() ([]byte, error) {
	if s.buffer == nil {
		s.buffer = make([]byte, chunk)
	}
	for {
		if m, ok := s.next(); ok {
			return m, nil
		}
		if err := s.Flush(); err != nil {
			return nil, err
		}
		n, err := s.conn.Read(s.buffer)
		if err != nil {
			return nil, err
		}
		if err := s.feed(s.buffer[:n]); err != nil {
			return nil, err
		}
	}
}

// feed takes bytes of the connection, which may be used again afterwards.
func (s *Stream) feed(data []byte) error {
	for {
		if len(s.part) > 0 { // a frame is completed first
			n := min(len(data), s.lacking())
			s.part, data = append(s.part, data[:n]...), data[n:]
			if s.lacking() > 0 {
				if len(data) == 0 {
					return nil
				}
				continue // the header is complete and tells the rest
			}
			if err := s.handle(s.part); err != nil {
				return err
			}
			s.part = s.part[:0]
		}
		size := frameSize(data)
		if len(data) < size {
			s.part = append(s.part, data...)
			return nil
		}
		if err := s.handle(data[:size]); err != nil {
			return err
		}
		data = data[size:]
	}
}

// lacking tells how much of the frame that has begun is missing.
func (s *Stream) lacking() int { return frameSize(s.part) - len(s.part) }

// frameSize gives the size of the frame at the start of data, or of a header where that is not complete.
func frameSize(data []byte) int {
	if len(data) < headerSize {
		return headerSize
	}
	return headerSize + int(data[0])<<16 + int(data[1])<<8 + int(data[2])
}

// handle takes a whole frame.
func (s *Stream) handle(whole []byte) error {
	kind, flags := http2.FrameType(whole[3]), http2.Flags(whole[4])
	if kind == http2.FrameData && !flags.Has(http2.FlagDataPadded) { // most of them, without a copy
		s.take(whole[headerSize:])
		return s.giveBack(uint32(len(whole) - headerSize))
	}
	s.frame.Reset(whole)
	f, err := s.framer.ReadFrame()
	if err != nil {
		return err
	}
	switch f := f.(type) {
	case *http2.DataFrame:
		s.take(f.Data())
		return s.giveBack(f.Length)
	case *http2.MetaHeadersFrame:
		return ended(f)
	case *http2.SettingsFrame:
		return s.settings(f)
	case *http2.PingFrame:
		if f.IsAck() {
			return nil
		}
		return s.framer.WritePing(true, f.Data)
	case *http2.WindowUpdateFrame:
		if f.StreamID == 0 {
			s.connWindow += int64(f.Increment)
		} else {
			s.windowOf += int64(f.Increment)
		}
		return s.push()
	case *http2.RSTStreamFrame:
		return fmt.Errorf("the server resets the stream: %v", f.ErrCode)
	case *http2.GoAwayFrame:
		return fmt.Errorf("the server closes the connection: %v", f.ErrCode)
	}
	return nil
}

func (s *Stream) settings(f *http2.SettingsFrame) error {
	if f.IsAck() {
		return nil
	}
	if v, ok := f.Value(http2.SettingInitialWindowSize); ok {
		s.windowOf, s.initial = s.windowOf+int64(v)-s.initial, int64(v)
	}
	return errors.Join(s.framer.WriteSettingsAck(), s.push())
}

// giveBack lets the server send more when it has used up half of its window.
func (s *Stream) giveBack(n uint32) error {
	if s.consumed += n; s.consumed < window/2 {
		return nil
	}
	n, s.consumed = s.consumed, 0
	return errors.Join(s.framer.WriteWindowUpdate(0, n), s.framer.WriteWindowUpdate(onlyStream, n))
}

// take adds received bytes. A message that is larger than what a stream keeps gets a buffer from
// the pool.
func (s *Stream) take(data []byte) {
	s.in = append(s.in, data...)
	if s.pooled != nil || len(s.in)-s.at < prefix {
		return
	}
	if size := s.size(); size > keep {
		s.pooled = mem.DefaultBufferPool().Get(size + maxFrame)
		s.in, s.at = append((*s.pooled)[:0], s.in[s.at:]...), 0
	}
}

// size of the first message with its prefix, which must be there.
func (s *Stream) size() int {
	return prefix + int(binary.BigEndian.Uint32(s.in[s.at+1:]))
}

// next gives a message that has come; it is valid until the next call.
func (s *Stream) next() ([]byte, bool) {
	if len(s.in)-s.at < prefix || len(s.in)-s.at < s.size() {
		s.release()
		return nil, false
	}
	from := s.at + prefix
	s.at += s.size()
	return s.in[from:s.at], true
}

// release lets go of messages that were read.
func (s *Stream) release() {
	rest := s.in[s.at:]
	switch {
	case s.at == 0:
	case s.pooled != nil && len(rest) <= maxFrame:
		former := s.pooled
		s.pooled = nil
		s.in, s.at = append([]byte(nil), rest...), 0
		mem.DefaultBufferPool().Put(former)
		s.take(nil)
	case len(rest) == 0 && cap(s.in) > keep:
		s.in, s.at = nil, 0
	default:
		s.in, s.at = s.in[:copy(s.in, rest)], 0
	}
}

func (s *Stream) drop() {
	if s.pooled != nil {
		mem.DefaultBufferPool().Put(s.pooled)
		s.pooled, s.in, s.at = nil, nil, 0
	}
}
