package xdsproxy

import (
	"context"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/agent/until"
	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

const (
	// debugType begins the types by which Istio's tools ask what the control plane knows.
	debugType = "istio.io/debug"
	// tapTimeout bounds a question with its answer, and maxTaps how many there are at a time.
	tapTimeout = 15 * time.Second
	maxTaps    = 4
)

// Tap answers what Istio's tools ask a control plane about itself, by asking it with the proxy's own
// identity: it tells no more than what this workload may know. It serves ADS, as for istioctl's
// --xds-via-agents, and the control plane's debug pages by HTTP under /debug/.
type Tap struct {
	proxy   *Proxy
	address string
	log     *slog.Logger
	places  chan struct{}
}

// NewTap gives a Tap that listens on an address, host:port, while Run runs.
func NewTap(p *Proxy, address string) *Tap {
	return &Tap{proxy: p, address: address, log: p.cfg.Logger, places: make(chan struct{}, maxTaps)}
}

// Run serves until ctx ends. A workload does not depend on it: if the address is taken that is only told.
func (t *Tap) Run(ctx context.Context) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", t.address)
	if err != nil {
		t.log.Warn("questions of tools are not answered", "address", t.address, "error", err)
		<-ctx.Done()
		return nil
	}
	srv := &http.Server{Handler: t.handler(), ReadHeaderTimeout: tapTimeout, IdleTimeout: time.Minute, Protocols: new(http.Protocols)}
	srv.Protocols.SetHTTP1(true)
	srv.Protocols.SetUnencryptedHTTP2(true)
	return until.Done(ctx, func() error { return srv.Serve(l) }, func() { _ = srv.Close() })
}

// handler tells gRPC's requests from those of browsers and of curl.
func (t *Tap) handler() http.Handler {
	rpc := grpc.NewServer(grpc.ForceServerCodecV2(codec{}), grpc.MaxRecvMsgSize(maxRequest), grpc.MaxSendMsgSize(math.MaxInt32))
	rpc.RegisterService(&grpc.ServiceDesc{
		ServiceName: service,
		HandlerType: (*any)(nil),
		Streams:     []grpc.StreamDesc{t.describe(stateOfTheWorld), t.describe(delta)},
	}, t)
	pages := http.NewServeMux()
	pages.HandleFunc("GET /debug/", t.page)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			rpc.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

func (t *Tap) describe(proto *protocol) grpc.StreamDesc {
	return grpc.StreamDesc{
		StreamName: proto.method, ServerStreams: true, ClientStreams: true,
		Handler: func(_ any, tool grpc.ServerStream) error { return t.stream(proto, tool) },
	}
}

// stream answers one question of a stream, which ends then.
func (t *Tap) stream(proto *protocol, tool grpc.ServerStream) error {
	question := &frame{}
	if err := tool.RecvMsg(question); err != nil {
		return err
	}
	typeURL, err := proto.requestType(question.data)
	if err != nil || typeURL != debugType && !strings.HasPrefix(typeURL, debugType+"/") {
		question.free()
		return status.Errorf(codes.InvalidArgument, "only %s is asked here", debugType)
	}
	answer, err := t.ask(tool.Context(), proto, question)
	if err != nil {
		return err
	}
	return tool.SendMsg(answer)
}

// page answers with a page of the control plane, of the same path and query.
func (t *Tap) page(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, "/debug/")
	if r.URL.RawQuery != "" {
		name += "?" + r.URL.RawQuery
	}
	text, err := t.text(r.Context(), name)
	if err != nil {
		code := http.StatusBadGateway
		switch status.Code(err) {
		case codes.NotFound, codes.InvalidArgument:
			code = http.StatusNotFound
		case codes.PermissionDenied, codes.Unauthenticated:
			code = http.StatusForbidden
		case codes.ResourceExhausted:
			code = http.StatusTooManyRequests
		}
		http.Error(w, status.Convert(err).Message(), code)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = w.Write(text) // a client that goes away misses it
}

func (t *Tap) text(ctx context.Context, name string) ([]byte, error) {
	question, err := encode(&node.DiscoveryRequest{TypeUrl: debugType, ResourceNames: []string{name}})
	if err != nil {
		return nil, err
	}
	answer, err := t.ask(ctx, stateOfTheWorld, question)
	if err != nil {
		return nil, err
	}
	defer answer.free()
	var out node.DiscoveryResponse
	if err := proto.Unmarshal(answer.data.Materialize(), &out); err != nil {
		return nil, err
	}
	if len(out.GetResources()) == 0 {
		return nil, nil
	}
	return out.GetResources()[0].GetValue(), nil
}

// ask asks the control plane on a stream of its own, so that Envoy's notices nothing of it.
func (t *Tap) ask(ctx context.Context, proto *protocol, question *frame) (*frame, error) {
	select {
	case t.places <- struct{}{}:
		defer func() { <-t.places }()
	default:
		question.free()
		return nil, status.Errorf(codes.ResourceExhausted, "%d questions are being answered, no more at a time", maxTaps)
	}
	ctx, cancel := context.WithTimeout(ctx, tapTimeout)
	defer cancel()
	conn, up, err := t.proxy.connect(ctx, proto)
	if err != nil {
		question.free()
		return nil, status.Errorf(codes.Unavailable, "control plane %s: %v", t.proxy.cfg.Address, status.Convert(err).Message())
	}
	defer conn.Close()
	if err := up.SendMsg(question); err != nil {
		t.log.Debug("a question was not sent", "error", err) // why comes from receiving
	}
	answer := &frame{}
	if err := up.RecvMsg(answer); err != nil {
		return nil, upstreamError(err)
	}
	return answer, nil
}
