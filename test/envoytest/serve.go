package envoytest

import (
	"net"
	"testing"

	"google.golang.org/grpc"
)

// ServeUnix serves what register adds to a gRPC server at a Unix socket, until the test ends.
func ServeUnix(t testing.TB, socket string, register func(*grpc.Server), opts ...grpc.ServerOption) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer(opts...)
	register(srv)
	done := make(chan error, 1)
	go func() { done <- srv.Serve(l) }()
	t.Cleanup(func() {
		srv.Stop()
		<-done
	})
}
