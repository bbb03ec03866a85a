package xdsproxy

import (
	"context"
	"errors"
	"math"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/agent/uds"
	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

const (
	// A control plane that is gone without a word is noticed after 40 s.
	keepaliveTime, keepaliveTimeout = 30 * time.Second, 10 * time.Second
	// writeBuffer bounds a record of TLS. The control plane keeps a buffer for each connection that is as
	// large as the largest record which came by it (crypto/tls), up to 16 KB.
	writeBuffer = 4 << 10
	// window is how many bytes either side may send ahead. As it is fixed, gRPC does not measure the connection: by
	// default it pings the other side whenever a message comes, for each push and each acknowledgement.
	window = 1 << 20
	// maxRequest bounds a request of Envoy in bytes; a reconnect at 1,400 clusters takes 337 KB.
	maxRequest = 64 << 20
)

// Proxy joins Envoy to the control plane.
type Proxy struct {
	cfg     Config
	metrics *metrics
	// streams are the goroutines of all streams; Run waits for them.
	streams sync.WaitGroup

	mu sync.Mutex
	// closeActive ends the active stream.
	closeActive context.CancelCauseFunc
	// seen is what the control plane that was last heard of has seen of its API server.
	seen seen.Versions
	// told is what SetHealth said last; nil before it did.
	told *health
	// signer is what SetSigner said last.
	signer string
	// listening is the stream that is told of changes; nil while there is none.
	listening *joint
}

// New gives a Proxy; Run makes it listen.
func New(cfg Config) *Proxy { return &Proxy{cfg: cfg, metrics: newMetrics(cfg.Registry)} }

// Run serves until ctx ends.
func (p *Proxy) Run(ctx context.Context) error {
	srv := grpc.NewServer(grpc.ForceServerCodecV2(codec{}), grpc.MaxRecvMsgSize(maxRequest),
		grpc.MaxSendMsgSize(math.MaxInt32), grpc.WaitForHandlers(true),
		grpc.StaticStreamWindowSize(window), grpc.StaticConnWindowSize(window))
	srv.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{p.describe(stateOfTheWorld), p.describe(delta)},
	}, p)
	err := uds.Serve(ctx, p.cfg.SocketPath, srv)
	p.streams.Wait()
	return err
}

func (p *Proxy) describe(proto *protocol) grpc.StreamDesc {
	return grpc.StreamDesc{
		StreamName: proto.method, ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, down grpc.ServerStream) error { return p.serve(proto, down) },
	}
}

var errReplaced = errors.New("a newer stream of Envoy has taken over")

// serve joins one stream of Envoy to an upstream connection of its own. Any error of the upstream
// ends the stream, whereupon Envoy comes back in its own time.
func (p *Proxy) serve(proto *protocol, down grpc.ServerStream) error {
	ctx, cancel := context.WithCancelCause(down.Context())
	defer cancel(context.Canceled)
	p.mu.Lock()
	if p.closeActive != nil {
		p.closeActive(errReplaced)
	}
	p.closeActive = cancel
	p.mu.Unlock()

	conn, up, err := p.connect(ctx, proto)
	if err != nil {
		p.metrics.connectFailures.Inc()
		p.cfg.Logger.Warn("xDS: control plane not reached", "address", p.cfg.Address, "error", err)
		return status.Errorf(codes.Unavailable, "control plane %s: %v", p.cfg.Address, status.Convert(err).Message())
	}
	defer conn.Close()
	p.cfg.Logger.Info("xDS: connected to control plane", "address", p.cfg.Address)
	p.connected(true)
	defer p.connected(false)
	err = p.join(ctx, proto, down, up)
	p.metrics.terminations.Inc()
	if cause := context.Cause(ctx); errors.Is(cause, errReplaced) {
		err = status.Error(codes.Aborted, cause.Error())
	}
	p.cfg.Logger.Info("xDS: stream ended", "address", p.cfg.Address, "reason", err)
	return err
}

func (p *Proxy) connected(yes bool) {
	if p.cfg.OnConnection != nil {
		p.cfg.OnConnection(yes)
	}
}

// connect opens the upstream stream on a new connection.
func (p *Proxy) connect(ctx context.Context, proto *protocol) (*grpc.ClientConn, grpc.ClientStream, error) {
	creds := insecure.NewCredentials()
	if p.cfg.TLS != nil {
		cfg, err := p.cfg.TLS()
		if err != nil {
			return nil, nil, err
		}
		creds = credentials.NewTLS(cfg)
	}
	conn, err := grpc.NewClient("passthrough:///"+p.cfg.Address,
		grpc.WithTransportCredentials(creds),
		grpc.WithNoProxy(),
		grpc.WithWriteBufferSize(writeBuffer),
		grpc.WithStaticStreamWindowSize(window), grpc.WithStaticConnWindowSize(window),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: keepaliveTime, Timeout: keepaliveTimeout}),
		grpc.WithDefaultCallOptions(grpc.ForceCodecV2(codec{}),
			grpc.MaxCallRecvMsgSize(math.MaxInt32), grpc.MaxCallSendMsgSize(math.MaxInt32)),
	)
	if err != nil {
		return nil, nil, err
	}
	md, err := p.metadata()
	if err != nil {
		return nil, nil, errors.Join(err, conn.Close())
	}
	up, err := conn.NewStream(metadata.NewOutgoingContext(ctx, md),
		&grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/"+service+"/"+proto.method)
	if err != nil {
		_ = conn.Close() // the stream's error is the one that matters
		return nil, nil, err
	}
	return conn, up, nil
}

// metadata has the token as it is now: the kubelet renews it. It never crosses the network in the
// clear. What was seen of the API server is told to control planes that have proven who they are, and believed
// of no others.
func (p *Proxy) metadata() (metadata.MD, error) {
	md := metadata.MD{}
	for name, value := range p.cfg.Headers {
		md.Set(name, value)
	}
	if p.cfg.ClusterID != "" {
		md.Set("clusterid", p.cfg.ClusterID)
	}
	if p.cfg.TLS == nil {
		return md, nil
	}
	md.Set(seen.Header, p.lastSeen())
	if p.cfg.Token == nil {
		return md, nil
	}
	token, err := p.cfg.Token()
	if err != nil {
		return nil, err
	}
	if token = strings.TrimSpace(token); token != "" {
		md.Set("authorization", "Bearer "+token)
	}
	return md, nil
}
