package random

import (
	"context"
	"fmt"
	"time"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"

	xdsres "github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
)

// request is a discovery request of either protocol.
type request struct {
	typ    xdsres.Type
	nonce  string
	detail string // of a NACK

	subscribe, unsubscribe []string          // delta
	initial                map[string]string // delta
	names                  []string          // state of the world
	version                string            // state of the world
}

func (r *request) String() string {
	if r.nonce == "" {
		return fmt.Sprintf("%s +%v -%v claims %d", r.typ, r.subscribe, r.unsubscribe, len(r.initial))
	}
	return fmt.Sprintf("%s answer %q +%v -%v", r.typ, r.detail, r.subscribe, r.unsubscribe)
}

func (r *request) error() *status.Status {
	if r.detail == "" {
		return nil
	}
	return &status.Status{Code: 13, Message: r.detail}
}

func (r *request) delta(node *corev3.Node) *discoveryv3.DeltaDiscoveryRequest {
	return &discoveryv3.DeltaDiscoveryRequest{
		Node: node, TypeUrl: r.typ.URL(), ResponseNonce: r.nonce, ErrorDetail: r.error(),
		ResourceNamesSubscribe: r.subscribe, ResourceNamesUnsubscribe: r.unsubscribe, InitialResourceVersions: r.initial,
	}
}

func (r *request) sotw(node *corev3.Node) *discoveryv3.DiscoveryRequest {
	return &discoveryv3.DiscoveryRequest{
		Node: node, TypeUrl: r.typ.URL(), ResponseNonce: r.nonce, ErrorDetail: r.error(),
		ResourceNames: r.names, VersionInfo: r.version,
	}
}

// response is a discovery response of either protocol.
type response struct {
	typ       xdsres.Type
	nonce     string
	version   string
	resources []*resource
	removed   []string
	epoch     int               // the latest state of the mesh when it was sent
	at        time.Time         // when the server sent it, which may be long before the client reads it
	refused   map[string]string // why, by name of the resource
}

func (r *response) String() string {
	return fmt.Sprintf("%s %v removed %v", r.typ, r.names(), r.removed)
}

func (r *response) names() []string {
	out := make([]string, len(r.resources))
	for i, res := range r.resources {
		out[i] = res.name
	}
	return out
}

// link is one stream in memory. The server sees it as a gRPC stream whose client admits one
// message and then blocks the sender.
type link struct {
	grpc.ServerStream
	ctx    context.Context
	cancel context.CancelFunc
	delta  bool
	up     chan proto.Message
	down   chan *response
	ended  chan error
	reads  int // responses with clusters that the client has read
	decode func(delta bool, wire []byte) (*response, error)
}

// connect opens a stream to a server.
func connect(server *xds.Server, delta bool, decode func(bool, []byte) (*response, error)) *link {
	ctx, cancel := context.WithCancel(context.Background())
	l := &link{
		ctx: ctx, cancel: cancel, delta: delta, decode: decode,
		up: make(chan proto.Message, 4096), down: make(chan *response, 1), ended: make(chan error, 1),
	}
	go func() {
		if delta {
			l.ended <- server.Service(nil).DeltaAggregatedResources(&deltaLink{ServerStream: l})
		} else {
			l.ended <- server.Service(nil).StreamAggregatedResources(&sotwLink{ServerStream: l})
		}
		cancel()
	}()
	return l
}

func (l *link) Context() context.Context { return l.ctx }

// SendMsg takes what the server sends, by way of its codec.
func (l *link) SendMsg(m any) error {
	wire, err := xds.Codec().Marshal(m)
	if err != nil {
		return err
	}
	r, err := l.decode(l.delta, wire.Materialize())
	if err != nil {
		return err
	}
	r.at = time.Now()
	select {
	case l.down <- r:
		return nil
	case <-l.ctx.Done():
		return l.ctx.Err()
	}
}

// RecvMsg gives the server what the client sends, by way of its codec.
func (l *link) RecvMsg(m any) error {
	select {
	case r := <-l.up:
		wire, err := proto.Marshal(r)
		if err != nil {
			return err
		}
		return xds.Codec().Unmarshal(mem.BufferSlice{mem.SliceBuffer(wire)}, m)
	case <-l.ctx.Done():
		return l.ctx.Err()
	}
}

type (
	deltaLink = grpc.GenericServerStream[discoveryv3.DeltaDiscoveryRequest, discoveryv3.DeltaDiscoveryResponse]
	sotwLink  = grpc.GenericServerStream[discoveryv3.DiscoveryRequest, discoveryv3.DiscoveryResponse]
)
