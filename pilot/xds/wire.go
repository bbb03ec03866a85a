package xds

import (
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
)

// request is a discovery request of either protocol.
type request struct {
	typeURL string
	node    *corev3.Node
	nonce   string
	refused bool   // a NACK
	detail  string // what the client said about it

	// Delta only.
	subscribe, unsubscribe []string
	initial                map[string]string // versions that the client holds, by name
	// State of the world only: all names, of which none is a wildcard, and the version that the
	// client took last, maybe from another server.
	names   []string
	version string
}

// wire is one stream of either protocol.
type wire interface {
	recv() (*request, error)
	send(*response) error
	delta() bool
}

type deltaWire struct {
	stream discoveryv3.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
}

func (w deltaWire) delta() bool            { return true }
func (w deltaWire) send(r *response) error { return w.stream.SendMsg(r) }

func (w deltaWire) recv() (*request, error) {
	m, err := w.stream.Recv()
	if err != nil {
		return nil, err
	}
	return &request{
		typeURL: m.GetTypeUrl(), node: m.GetNode(), nonce: m.GetResponseNonce(),
		refused: m.GetErrorDetail() != nil, detail: m.GetErrorDetail().GetMessage(),
		subscribe: m.GetResourceNamesSubscribe(), unsubscribe: m.GetResourceNamesUnsubscribe(),
		initial: m.GetInitialResourceVersions(),
	}, nil
}

type sotwWire struct {
	stream discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer
}

func (w sotwWire) delta() bool            { return false }
func (w sotwWire) send(r *response) error { return w.stream.SendMsg(r) }

func (w sotwWire) recv() (*request, error) {
	m, err := w.stream.Recv()
	if err != nil {
		return nil, err
	}
	return &request{
		typeURL: m.GetTypeUrl(), node: m.GetNode(), nonce: m.GetResponseNonce(),
		refused: m.GetErrorDetail() != nil, detail: m.GetErrorDetail().GetMessage(),
		names: m.GetResourceNames(), version: m.GetVersionInfo(),
	}, nil
}
