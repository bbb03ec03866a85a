package xdsproxy

import (
	"context"
	"errors"
	"io"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// joint is one stream of Envoy and its upstream stream. Three goroutines pass messages: receive
// reads Envoy, forward writes upstream, respond reads upstream and writes to Envoy. Each holds at
// most one message, so a side that does not read holds up its own direction only, and what the agent
// answers for itself never waits for Envoy.
type joint struct {
	proxy *Proxy
	proto *protocol
	down  grpc.ServerStream
	up    grpc.ClientStream
	// requests of Envoy, in their order.
	requests chan *frame
	// own are our own next messages for upstream.
	own *outbox
	// toldSigner says that the control plane knows a root of the certificate.
	toldSigner bool
	// toldSeen says that the control plane has told what it has seen of its API server.
	toldSeen bool
}

// join passes messages until either side ends. Its goroutines end when down and up do, which is
// after the handler has returned: a stream's blocked read or write can only be ended that way. So
// it is Proxy.Run that waits for them.
func (p *Proxy) join(ctx context.Context, proto *protocol, down grpc.ServerStream, up grpc.ClientStream) error {
	j := &joint{
		proxy: p, proto: proto, down: down, up: up,
		requests: make(chan *frame), own: newOutbox(),
	}
	ended := make(chan error, 3)
	for _, run := range []func(context.Context) error{j.receive, j.forward, j.respond} {
		p.streams.Go(func() { ended <- run(ctx) })
	}
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		return status.FromContextError(ctx.Err()).Err()
	}
}

// receive reads Envoy's requests.
func (j *joint) receive(ctx context.Context) error {
	for {
		f := &frame{}
		if err := j.down.RecvMsg(f); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		select {
		case j.requests <- f:
		case <-ctx.Done():
			f.free()
			return nil
		}
	}
}

// forward sends requests upstream in Envoy's order, and its own in between. What the agent wants for itself
// is asked for after Envoy's first request for listeners, so that it delays nothing that Envoy waits for.
func (j *joint) forward(ctx context.Context) error {
	asked := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-j.own.ready:
			if err := j.sendOwn(); err != nil {
				return err
			}
		case f := <-j.requests:
			typeURL, err := j.proto.requestType(f.data)
			if err != nil {
				return status.Errorf(codes.InvalidArgument, "request of Envoy: %v", err)
			}
			j.proxy.metrics.requests.Inc()
			if err := j.sendUp(f); err != nil {
				return err
			}
			if asked || typeURL != listenerType {
				continue
			}
			asked = true
			for _, own := range j.proxy.cfg.Own {
				j.own.put(own.TypeURL, j.proto.subscribe(own.TypeURL))
			}
			defer j.listen()()
		}
	}
}

// sendOwn sends what waits. A message that cannot be is left out: Envoy's stream does not end for it.
func (j *joint) sendOwn() error {
	for _, m := range j.own.take() {
		f, err := encode(m.message)
		if err != nil {
			j.proxy.cfg.Logger.Error("xDS: a message of the agent cannot be sent", "type", m.typeURL, "error", err)
			continue
		}
		if err := j.sendUp(f); err != nil {
			return err
		}
	}
	return nil
}

// sendUp sends one frame. After io.EOF the reason comes from receiving, which respond does.
func (j *joint) sendUp(f *frame) error {
	err := j.up.SendMsg(f)
	if errors.Is(err, io.EOF) {
		<-j.up.Context().Done()
		return status.Error(codes.Unavailable, "control plane has closed the stream")
	}
	return err
}

// respond passes Envoy's types on, keeps the agent's own and drops everything else.
func (j *joint) respond(context.Context) error {
	for {
		f := &frame{}
		if err := j.up.RecvMsg(f); err != nil {
			return upstreamError(err)
		}
		typeURL, from, err := j.proto.peekResponse(f.data)
		if err != nil {
			return status.Errorf(codes.Internal, "response of the control plane: %v", err)
		}
		j.noteSeen(from)
		switch own := j.proxy.ownType(typeURL); {
		case own != nil:
			if err := j.takeOwn(own, f); err != nil {
				return err
			}
		case strings.HasPrefix(typeURL, googleapis+"envoy."):
			j.proxy.metrics.responses.Inc()
			if err := j.down.SendMsg(f); err != nil {
				return err
			}
		default:
			j.proxy.cfg.Logger.Debug("xDS: response of a type that is not Envoy's dropped", "type", typeURL)
			f.free()
		}
	}
}

// upstreamError says what ended the stream in the words of the control plane. A clean end is an
// error as well: Envoy must come back.
func upstreamError(err error) error {
	if errors.Is(err, io.EOF) {
		return status.Error(codes.Unavailable, "control plane has closed the stream")
	}
	return err
}
