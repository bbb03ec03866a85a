package xdsproxy

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/pilothouse-mesh/pilothouse/proto/node"
)

// Fetch asks the control plane once for the resource of a type, marshalled, as a node and on a stream of its own:
// for what is needed before Envoy has one. It gives nil where there is none.
func (p *Proxy) Fetch(ctx context.Context, as *node.Node, typeURL string) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	conn, up, err := p.connect(ctx, stateOfTheWorld)
	if err != nil {
		return nil, fmt.Errorf("control plane %s: %w", p.cfg.Address, err)
	}
	defer conn.Close()
	f, err := encode(&node.DiscoveryRequest{Node: as, TypeUrl: typeURL})
	if err != nil {
		return nil, fmt.Errorf("request of %s: %w", typeURL, err)
	}
	if err := up.SendMsg(f); err != nil && !errors.Is(err, io.EOF) { // io.EOF has its reason below
		return nil, fmt.Errorf("control plane %s: %w", p.cfg.Address, err)
	}
	for {
		f := &frame{}
		if err := up.RecvMsg(f); err != nil {
			return nil, fmt.Errorf("control plane %s: %w", p.cfg.Address, upstreamError(err))
		}
		got, _, err := stateOfTheWorld.peekResponse(f.data)
		data := f.data.Materialize()
		f.free()
		if err != nil {
			return nil, fmt.Errorf("response of the control plane: %w", err)
		}
		if got != typeURL {
			continue
		}
		resp, err := stateOfTheWorld.read(data)
		if err != nil {
			return nil, fmt.Errorf("response of the control plane with %s: %w", typeURL, err)
		}
		return resp.resource.GetValue(), nil
	}
}
