package auth

import (
	"context"
	"net"

	"google.golang.org/grpc/peer"
)

// CallerAddress gives from which machine a call of gRPC comes: its address without the port, "" where it is unknown.
func CallerAddress(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	host, _, err := net.SplitHostPort(p.Addr.String())
	if err != nil {
		return p.Addr.String()
	}
	return host
}
