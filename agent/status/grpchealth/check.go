// Package grpchealth asks a server for its health by gRPC's health protocol
// (https://github.com/grpc/grpc/blob/master/doc/health-checking.md), as a kubelet does: for the agent, which
// makes the application's probes, and for the local mesh, which is its own kubelet.
package grpchealth

import (
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// Check asks for a service's health at an address, host:port; nil and "" stand for the whole server. dial makes
// the connection. The error says that there was no answer, or another one than SERVING.
func Check(ctx context.Context, dial func(ctx context.Context, network, address string) (net.Conn, error), address string, service *string) error {
	conn, err := grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithUserAgent("kube-probe/1.0"),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) { return dial(ctx, "tcp", address) }))
	if err != nil {
		return err
	}
	defer conn.Close()
	req := &grpc_health_v1.HealthCheckRequest{}
	if service != nil {
		req.Service = *service
	}
	resp, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, req)
	if err != nil {
		return err
	}
	if s := resp.GetStatus(); s != grpc_health_v1.HealthCheckResponse_SERVING {
		return fmt.Errorf("gRPC health of %s is %s", address, s)
	}
	return nil
}
