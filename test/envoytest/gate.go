package envoytest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	secret "github.com/envoyproxy/go-control-plane/envoy/service/secret/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
)

// maxMessage bounds what a Gate takes, in bytes.
const maxMessage = 64 << 20

// Verdict is what becomes of a message at a Gate.
type Verdict int

// The verdicts.
const (
	Pass       Verdict = iota
	Drop               // the other side never sees it
	Cut                // the stream breaks in its stead
	PassAndCut         // the stream breaks after it
)

// Exchange is one message on its way through a Gate: either Request or Response is set, and may be
// changed.
type Exchange struct {
	Link     *Link
	Request  *discovery.DeltaDiscoveryRequest
	Response *discovery.DeltaDiscoveryResponse
}

// Filter decides on the messages of all streams of a Gate. It is called concurrently. While it does
// not return, nothing that follows on its side of the stream moves.
type Filter func(*Exchange) Verdict

// Gate stands between Envoys and a server of delta ADS, and passes on what both say, as a filter
// decides. It also gives out secrets, where it has them.
type Gate struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	secret.UnimplementedSecretDiscoveryServiceServer
	// Socket is where Envoys connect.
	Socket string

	server  string
	filter  atomic.Pointer[Filter]
	secrets *Secrets
}

// NewGate serves a Gate in front of the server at host:port until the test ends. The server may come
// and go: a stream that it does not take is refused. secrets may be nil.
func NewGate(t testing.TB, server string, secrets *Secrets) *Gate {
	t.Helper()
	dir, err := os.MkdirTemp("", "gate") // short, for the socket's sake
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{Socket: filepath.Join(dir, "xds.sock"), server: server, secrets: secrets}
	g.Filter(func(*Exchange) Verdict { return Pass })
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	ServeUnix(t, g.Socket, func(srv *grpc.Server) {
		discovery.RegisterAggregatedDiscoveryServiceServer(srv, g)
		secret.RegisterSecretDiscoveryServiceServer(srv, g)
	}, grpc.MaxRecvMsgSize(maxMessage))
	return g
}

// Filter sets what decides on messages from now on.
func (g *Gate) Filter(f Filter) { g.filter.Store(&f) }

// StreamSecrets gives out the secrets under every name.
func (g *Gate) StreamSecrets(st secret.SecretDiscoveryService_StreamSecretsServer) error {
	if g.secrets == nil {
		return status.Error(codes.Unimplemented, "this gate has no secrets")
	}
	return g.secrets.serve(st)
}

// Link is one stream through a Gate.
type Link struct {
	// Node is the ID of the Envoy.
	Node string

	up   discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	down discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	mu   sync.Mutex // of sending on either side
}

// Ask sends the server a request that the Envoy never made.
func (l *Link) Ask(r *discovery.DeltaDiscoveryRequest) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up.Send(r)
}

// Tell sends the Envoy a response that the server never made.
func (l *Link) Tell(r *discovery.DeltaDiscoveryResponse) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.down.Send(r)
}

// errCut ends a stream by a filter's verdict.
var errCut = status.Error(codes.Unavailable, "cut by the test")

// DeltaAggregatedResources joins an Envoy's stream to one of the server's, on a connection of its
// own, so that either ends with the other.
func (g *Gate) DeltaAggregatedResources(down discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	first, err := down.Recv()
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(g.server, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return fmt.Errorf("gate to %s: %w", g.server, err)
	}
	defer conn.Close()
	ctx, cancel := context.WithCancel(down.Context())
	defer cancel()
	up, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	if err != nil {
		return err
	}
	l := &Link{Node: first.GetNode().GetId(), up: up, down: down}
	requests, responses := make(chan error, 1), make(chan error, 1)
	go func() { requests <- g.requests(l, first) }()
	go func() { responses <- g.responses(l) }()
	select {
	case err = <-responses:
	case err = <-requests: // its goroutine ends at the latest with this handler
		cancel()
		<-responses
	}
	return err
}

// requests passes on what the Envoy says, first of all the request that is read already.
func (g *Gate) requests(l *Link, r *discovery.DeltaDiscoveryRequest) error {
	for {
		verdict := g.decide(&Exchange{Link: l, Request: r})
		if verdict == Cut {
			return errCut
		}
		if verdict != Drop {
			if err := l.Ask(r); err != nil {
				return status.Error(codes.Unavailable, err.Error())
			}
		}
		if verdict == PassAndCut {
			return errCut
		}
		var err error
		if r, err = l.down.Recv(); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
	}
}

// responses passes on what the server says.
func (g *Gate) responses(l *Link) error {
	for {
		r, err := l.up.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return status.Error(codes.Unavailable, err.Error())
		}
		verdict := g.decide(&Exchange{Link: l, Response: r})
		if verdict == Cut {
			return errCut
		}
		if verdict != Drop {
			if err := l.Tell(r); err != nil {
				return err
			}
		}
		if verdict == PassAndCut {
			return errCut
		}
	}
}

func (g *Gate) decide(x *Exchange) Verdict { return (*g.filter.Load())(x) }
