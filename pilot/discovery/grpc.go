package discovery

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"time"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"golang.org/x/sync/errgroup"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/reflection"

	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/security/caserver"
)

// serveGRPC opens the gRPC ports, after the first commit, and serves until ctx ends.
func (p *plane) serveGRPC(ctx context.Context) error {
	cluster, err := p.openCluster()
	if err != nil {
		return err
	}
	authority, err := p.authority(ctx, cluster)
	if err != nil {
		return err
	}
	authenticator, err := p.authenticator(authority, cluster)
	if err != nil {
		return err
	}
	p.callers.Store(authenticator)
	prover := provers{authenticator, p.connections}
	plain := grpc.NewServer(p.grpcOptions(p.cfg.anonymousRequest())...)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(plain, p.xds.Service(nil))
	secure := grpc.NewServer(append(p.grpcOptions(maxRequest), grpc.Creds(credentials.NewTLS(&tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: authority.ServerCertificate(p.cfg.serverNames()),
		// The authenticator verifies the chain: a caller with a token needs no certificate.
		ClientAuth: tls.RequestClientCert,
	})))...)
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(secure, p.xds.Service(authenticate(prover)))
	caserver.New(authority, prover, p.cfg.Logger, p.registry).Register(secure)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return authority.Run(ctx) })
	group.Go(func() error { return p.tellTrust(ctx, authority) })
	if cluster != nil {
		cluster.run(ctx, group, authority)
	}
	group.Go(func() error {
		return p.serveOn(ctx, []grpcPort{
			{"--grpcAddr", p.cfg.GRPCAddr, plain}, {"--secureGRPCAddr", p.cfg.SecureGRPCAddr, secure},
		})
	})
	return group.Wait()
}

type grpcPort struct {
	flag, addr string
	server     *grpc.Server
}

// serveOn opens all ports before any is served.
func (p *plane) serveOn(ctx context.Context, ports []grpcPort) error {
	group, ctx := errgroup.WithContext(ctx)
	defer p.xds.Wait()
	for _, port := range ports {
		reflection.Register(port.server)
		defer port.server.Stop()
	}
	var listeners []net.Listener
	for _, port := range ports {
		if port.addr == "" {
			listeners = append(listeners, nil)
			continue
		}
		l, err := net.Listen("tcp", port.addr)
		if err != nil {
			return oneSentence(port.flag, port.addr, err)
		}
		defer l.Close()
		listeners = append(listeners, p.connections.guardEnding(l))
	}
	for i, port := range ports {
		if listeners[i] != nil {
			group.Go(func() error {
				if err := port.server.Serve(listeners[i]); !errors.Is(err, grpc.ErrServerStopped) {
					return err
				}
				return nil // it was stopped before it began
			})
		}
	}
	p.serving.Store(true)
	p.cfg.Logger.Info("serving", "grpc", p.cfg.GRPCAddr, "secureGRPC", p.cfg.SecureGRPCAddr)
	group.Go(func() error {
		<-ctx.Done()
		p.serving.Store(false)
		for _, port := range ports {
			port.server.Stop() // streams have no end of their own; proxies keep what they have
		}
		return nil
	})
	return group.Wait()
}

// grpcOptions gives those of a port that takes requests of so many bytes.
func (p *plane) grpcOptions(request int) []grpc.ServerOption {
	alive := keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second, MaxConnectionIdle: p.idle}
	if p.cfg.MaxConnectionAge > 0 {
		alive.MaxConnectionAge, alive.MaxConnectionAgeGrace = p.cfg.MaxConnectionAge, 10*time.Second
	}
	return []grpc.ServerOption{
		grpc.ForceServerCodecV2(xds.Codec()),
		grpc.MaxConcurrentStreams(maxStreams), grpc.MaxRecvMsgSize(request), grpc.MaxHeaderListSize(maxHeaders),
		grpc.StreamInterceptor(boundReflection()),
		grpc.ReadBufferSize(1024), grpc.WriteBufferSize(16384), // an idle connection holds the former
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window),
		grpc.ConnectionTimeout(p.handshake), grpc.KeepaliveParams(alive),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Second, PermitWithoutStream: true}),
	}
}
