package xds

import (
	"bytes"
	"context"
	"strconv"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// DebugType begins the types by which Istio's tools ask what the control plane knows: itself,
// DebugSyncz and DebugConfigDump.
const (
	DebugType       = "istio.io/debug"
	DebugSyncz      = DebugType + "/syncz"
	DebugConfigDump = DebugType + "/config_dump"
)

// Debug answers questions of Istio's tools. The error is a gRPC status that is told to the client.
type Debug func(ctx context.Context, q Question) (Answer, error)

// Question is a discovery request for a DebugType, which is no subscription.
type Question struct {
	Type     string
	Names    []string
	Identity *Identity // proven; nil on a plaintext port
	Peer     string    // the caller's address, host:port
}

// Answer is what a client gets for a Question.
type Answer struct {
	Resources  []*discoveryv3.Resource
	Identifier string // of the control plane, JSON that Istio's tools read
}

// isQuestion tells whether a request is for a DebugType.
func (r *request) isQuestion() bool { return bytes.HasPrefix(r.url, []byte(DebugType)) }

// asker is who asks on a stream, and how it is answered. It is of the goroutine that receives.
type asker struct {
	ctx    context.Context
	wire   wire
	debug  Debug
	id     *Identity
	peer   string
	number uint64 // of the last answer
}

// asker is for a stream; id is nil for a caller without proof.
func (s *Server) asker(ctx context.Context, w wire, id *Identity) asker {
	a := asker{ctx: ctx, wire: w, debug: s.opts.Debug, id: id}
	if p, ok := peer.FromContext(ctx); ok {
		a.peer = p.Addr.String()
	}
	return a
}

// answer answers a question. Where refuse is set, the client of a stream that only asks is told by the
// end of its stream why it gets no answer. On a proxy's stream, on which an agent asks for a tool, the
// reason is the answer.
func (a *asker) answer(r *request, refuse bool) error {
	if len(r.nonce) > 0 || r.nacked || a.debug == nil {
		return nil // what acknowledges an answer asks for nothing
	}
	q := Question{Type: string(r.url), Names: r.list(r.fields().names), Identity: a.id, Peer: a.peer}
	answer, err := a.debug(a.ctx, q)
	if err != nil {
		if refuse {
			return err
		}
		text := status.Convert(err).Message()
		answer.Resources = []*discoveryv3.Resource{{Resource: &anypb.Any{TypeUrl: q.Type, Value: []byte(text)}}}
	}
	a.number++
	return a.wire.message(answer.message(q.Type, "debug."+strconv.FormatUint(a.number, 10), a.wire.delta()))
}

// message gives the response of either protocol.
func (a *Answer) message(url, nonce string, delta bool) proto.Message {
	plane := &corev3.ControlPlane{Identifier: a.Identifier}
	if delta {
		return &discoveryv3.DeltaDiscoveryResponse{TypeUrl: url, Nonce: nonce, Resources: a.Resources, ControlPlane: plane}
	}
	out := &discoveryv3.DiscoveryResponse{TypeUrl: url, Nonce: nonce, VersionInfo: nonce, ControlPlane: plane}
	for _, r := range a.Resources {
		out.Resources = append(out.Resources, r.GetResource())
	}
	return out
}
