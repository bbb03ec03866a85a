package h2_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/pilothouse-mesh/pilothouse/bench/h2"
)

// serve runs gRPC's own server, whose only handler is given, and tells its address.
func serve(t *testing.T, handle func(grpc.ServerStream) error) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.MaxRecvMsgSize(64<<20), grpc.UnknownServiceHandler(func(_ any, s grpc.ServerStream) error { return handle(s) }))
	var done sync.WaitGroup
	done.Go(func() { _ = g.Serve(l) }) // it ends by Stop
	t.Cleanup(func() {
		g.Stop()
		done.Wait()
	})
	return l.Addr().String()
}

// echo sends each message back, as often as its first byte says.
func echo(s grpc.ServerStream) error {
	for {
		var m wrapperspb.BytesValue
		if err := s.RecvMsg(&m); err != nil {
			return nil
		}
		for range m.GetValue()[0] {
			if err := s.SendMsg(&m); err != nil {
				return err
			}
		}
	}
}

func open(t *testing.T, address string) *h2.Stream {
	t.Helper()
	s, err := h2.Open(t.Context(), h2.Options{Address: address, Method: "/test.Echo/Both"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func message(t *testing.T, times byte, size int) []byte {
	t.Helper()
	b, err := proto.Marshal(wrapperspb.Bytes(append([]byte{times}, bytes.Repeat([]byte{byte(size)}, size)...)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Sizes around those of a frame, of the first window of each side, and far beyond both.
func TestMessagesOfAllSizesComeThrough(t *testing.T) {
	s := open(t, serve(t, echo))
	for round := range 3 {
		for _, size := range []int{0, 10, 16<<10 - 8, 16 << 10, 64<<10 - 10, 64 << 10, 300 << 10, 5 << 20} {
			want := message(t, 3, size)
			if err := s.Send(want); err != nil {
				t.Fatal(err)
			}
			for i := range 3 {
				got, err := s.Receive()
				if err != nil {
					t.Fatalf("round %d, %d bytes: %v", round, size, err)
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("round %d, %d bytes, echo %d: got %d bytes, want %d", round, size, i, len(got), len(want))
				}
			}
		}
	}
}

// More than both windows is under way in both directions before anything is read.
func TestManyMessagesAtOnce(t *testing.T) {
	s := open(t, serve(t, echo))
	sizes := []int{100 << 10, 7, 400 << 10, 0, 2 << 20, 9}
	for _, size := range sizes {
		if err := s.Send(message(t, 1, size)); err != nil {
			t.Fatal(err)
		}
	}
	for _, size := range sizes {
		got, err := s.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if want := message(t, 1, size); !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, want %d", len(got), len(want))
		}
	}
}

func TestTheServersReasonIsTold(t *testing.T) {
	for want, handle := range map[string]func(grpc.ServerStream) error{
		"code 7: not you": func(grpc.ServerStream) error { return status.Error(codes.PermissionDenied, "not you") },
		io.EOF.Error():    func(grpc.ServerStream) error { return nil },
	} {
		if _, err := open(t, serve(t, handle)).Receive(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestTheEndOfTheContextEndsTheStream(t *testing.T) {
	address := serve(t, echo)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := h2.Open(ctx, h2.Options{Address: address, Method: "/test.Echo/Both"})
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		_, err := s.Receive()
		ended <- err
	}()
	cancel()
	if err := <-ended; err == nil {
		t.Error("a message came out of nowhere")
	}
	if _, err := h2.Open(ctx, h2.Options{Address: address}); err == nil {
		t.Error("a stream opens after the end")
	}
}

func TestAMessageThatIsKeptDoesNotChangeWhileItMayBeRead(t *testing.T) {
	s := open(t, serve(t, echo))
	for i := range 20 {
		if err := s.Send(message(t, 1, 1000+i)); err != nil {
			t.Fatal(err)
		}
	}
	for i := range 20 {
		got, err := s.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if want := message(t, 1, 1000+i); !bytes.Equal(got, want) {
			t.Fatal(fmt.Sprint("message ", i, " is another"))
		}
	}
}

// watch lets a poller read a stream that asks for some echoes and gives what comes, in order.
func watch(t *testing.T, p *h2.Poller, s *h2.Stream, stop chan struct{}, idle func() bool) (<-chan int, <-chan error) {
	t.Helper()
	sizes, ended := make(chan int, 100), make(chan error, 1)
	go func() {
		ended <- p.Watch(stop, s, h2.Handler{Idle: idle, Message: func(m []byte) error {
			sizes <- len(m)
			return nil
		}})
	}()
	return sizes, ended
}

func newPoller(t *testing.T) *h2.Poller {
	t.Helper()
	p, err := h2.NewPoller()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

func never() bool { return false }

func TestAPollerReadsManyStreams(t *testing.T) {
	address, p := serve(t, echo), newPoller(t)
	stop := make(chan struct{})
	var got, all sync.WaitGroup
	for i := range 50 {
		s := open(t, address)
		want := []int{10 + i, 200 << 10, 1 << 20, 7}
		for _, size := range want {
			if err := s.Send(message(t, 1, size)); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		sizes, ended := watch(t, p, s, stop, never)
		got.Go(func() {
			for _, size := range want {
				if n := <-sizes; n != len(message(t, 1, size)) {
					t.Errorf("stream %d: %d bytes, want %d", i, n, size)
				}
			}
		})
		all.Go(func() {
			if err := <-ended; err != nil {
				t.Errorf("stream %d: %v", i, err)
			}
		})
	}
	got.Wait()
	close(stop)
	all.Wait()
}

func TestAPollerTellsWhyAStreamEnds(t *testing.T) {
	p := newPoller(t)
	s := open(t, serve(t, func(grpc.ServerStream) error { return status.Error(codes.PermissionDenied, "not you") }))
	if _, ended := watch(t, p, s, nil, never); !strings.Contains((<-ended).Error(), "not you") {
		t.Error("not with the server's reason")
	}
}

func TestAnIdleStreamIsReadAgainAfterResume(t *testing.T) {
	p := newPoller(t)
	s := open(t, serve(t, echo))
	if err := errors.Join(s.Send(message(t, 2, 100)), s.Flush()); err != nil {
		t.Fatal(err)
	}
	var idle atomic.Bool
	idle.Store(true)
	asked := make(chan struct{}, 10)
	stop := make(chan struct{})
	sizes, ended := watch(t, p, s, stop, func() bool {
		asked <- struct{}{}
		return idle.Load()
	})
	<-asked
	select {
	case <-sizes:
		t.Error("an idle stream is read")
	case <-time.After(50 * time.Millisecond):
	}
	idle.Store(false)
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	<-sizes
	<-sizes
	close(stop)
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
