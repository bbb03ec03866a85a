package discovery

import (
	"context"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/security/auth"
)

const (
	// maxStreams bounds the streams of one connection; an agent uses two.
	maxStreams = 128
	// maxRequest bounds a request in bytes: a reconnect of the largest proxies sends all versions.
	maxRequest = 8 << 20
	// maxAnonymousRequest bounds that of a caller without proof, maxUnlimitedRequest where their number
	// has no bound: gRPC turns a larger one away before it has read it.
	maxAnonymousRequest = 512 << 10
	maxUnlimitedRequest = 4 << 20
	// window is how many bytes a caller may send ahead. As it is fixed, gRPC does not measure the connection: by
	// default each acknowledgement is answered by a ping, whose answer is another packet to be read.
	window = 256 << 10
	// maxHeaders bounds a request's headers in bytes, of which a token takes up to 16 KiB.
	maxHeaders = 64 << 10
	// idleConnection is how long a connection without a stream stays.
	idleConnection = 5 * time.Minute
	// handshakeTime is how long one may take to begin.
	handshakeTime = 10 * time.Second
	// maxReflections and reflectionTime bound the streams of reflection, which needs no proof.
	maxReflections = 8
	reflectionTime = 10 * time.Second

	// What one identity may have: a thousandfold Deployment, or a namespace of services that have one
	// account, are within it.
	maxIdentityStreams = 10000
	maxIdentityClasses = 2000
	maxStreamNames     = 200_000
	maxIdentityNames   = 10_000_000

	// defaultAnonymousStreams is how many streams all callers without proof have together. They may
	// have a fifth of it from one address, a fifth as many classes, and names in proportion.
	defaultAnonymousStreams = 500
	anonymousShare          = 5
	maxAnonymousStreamNames = 20_000
	namesPerAnonymousStream = 1000
)

// anonymousStreams gives the bound on callers without proof; 0 is none.
func (c *Config) anonymousStreams() int {
	switch {
	case c.MaxAnonymousStreams < 0:
		return 0
	case c.MaxAnonymousStreams > 0:
		return c.MaxAnonymousStreams
	case loopbackOnly(c.GRPCAddr):
		return 0 // who may speak to the port has been decided by its address
	}
	return defaultAnonymousStreams
}

// loopbackOnly tells whether an address, host:port, is one that only the machine itself reaches.
func loopbackOnly(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

func (c *Config) anonymousLimits() xds.Limits {
	streams := c.anonymousStreams()
	if streams == 0 {
		return xds.Limits{}
	}
	return xds.Limits{
		Streams: streams, PeerStreams: max(1, streams/anonymousShare),
		StreamNames: maxAnonymousStreamNames, Names: streams * namesPerAnonymousStream,
	}
}

// anonymousClasses bounds the classes of callers without proof; 0 is none. At a port of loopback they are
// one identity, the machine.
func (c *Config) anonymousClasses() int {
	switch streams := c.anonymousStreams(); {
	case streams > 0:
		return max(1, streams/anonymousShare)
	case c.MaxAnonymousStreams < 0:
		return 0
	}
	return maxIdentityClasses
}

// peerClasses bounds those of one address; 0 is none.
func (c *Config) peerClasses() int {
	if c.anonymousStreams() == 0 {
		return 0
	}
	return max(1, c.anonymousClasses()/anonymousShare)
}

func (c *Config) anonymousRequest() int {
	if c.anonymousStreams() == 0 {
		return maxUnlimitedRequest
	}
	return maxAnonymousRequest
}

// provers tells connections what their callers proved.
type provers struct {
	*auth.Authenticator
	connections *connections
}

// Authenticate proves who calls.
func (p provers) Authenticate(ctx context.Context) (auth.Caller, error) {
	c, err := p.Authenticator.Authenticate(ctx)
	if err == nil {
		p.note(ctx, c.Identity)
	}
	return c, err
}

// Prove proves who asks for a certificate.
func (p provers) Prove(ctx context.Context) (auth.Proof, error) {
	proof, err := p.Authenticator.Prove(ctx)
	if err == nil {
		p.note(ctx, proof.Identity)
	}
	return proof, err
}

func (p provers) note(ctx context.Context, id auth.Identity) {
	if caller, ok := peer.FromContext(ctx); ok {
		p.connections.prove(caller, id.String())
	}
}

// boundReflection lets a few callers at a time look at the services that a port has, for a moment.
func boundReflection() grpc.StreamServerInterceptor {
	places := make(chan struct{}, maxReflections)
	return func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		if !strings.HasPrefix(info.FullMethod, "/grpc.reflection.") {
			return handle(srv, stream)
		}
		select {
		case places <- struct{}{}:
		default:
			return status.Error(codes.ResourceExhausted, "too many callers of reflection at a time")
		}
		done := make(chan error, 1)
		go func() { // ends with the stream, when this function has returned
			defer func() { <-places }()
			done <- handle(srv, stream)
		}()
		select {
		case err := <-done:
			return err
		case <-time.After(reflectionTime):
			return status.Errorf(codes.DeadlineExceeded, "a stream of reflection ends after %v", reflectionTime)
		}
	}
}
