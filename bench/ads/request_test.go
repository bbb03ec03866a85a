package ads

import (
	"testing"

	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
)

func TestRequestsAreWhatProtobufReads(t *testing.T) {
	r := request{
		kind: Routes, node: []byte("\n\x01n"), version: []byte("v"), nonce: []byte("o"),
		subscribe: []string{"a", ""}, unsubscribe: []string{"b"}, held: map[string]string{"c": "3", "d": ""},
	}
	var delta discoveryv3.DeltaDiscoveryRequest
	if err := proto.Unmarshal(r.append(nil, true), &delta); err != nil {
		t.Fatal(err)
	}
	wantDelta := &discoveryv3.DeltaDiscoveryRequest{
		TypeUrl: Routes.URL(), ResponseNonce: "o", ResourceNamesSubscribe: []string{"a", ""}, ResourceNamesUnsubscribe: []string{"b"},
		InitialResourceVersions: map[string]string{"c": "3"}, Node: delta.GetNode(),
	}
	if !proto.Equal(&delta, wantDelta) || delta.GetNode().GetId() != "n" {
		t.Errorf("%v, want %v", &delta, wantDelta)
	}
	var sotw discoveryv3.DiscoveryRequest
	if err := proto.Unmarshal(r.append(nil, false), &sotw); err != nil {
		t.Fatal(err)
	}
	wantSotW := &discoveryv3.DiscoveryRequest{
		TypeUrl: Routes.URL(), VersionInfo: "v", ResponseNonce: "o", ResourceNames: []string{"a", ""}, Node: sotw.GetNode(),
	}
	if !proto.Equal(&sotw, wantSotW) || sotw.GetNode().GetId() != "n" {
		t.Errorf("%v, want %v", &sotw, wantSotW)
	}
}

func TestAnAcknowledgementCostsNoAllocation(t *testing.T) {
	r := request{kind: Endpoints, nonce: []byte("nonce")}
	b := make([]byte, 0, 200)
	if n := testing.AllocsPerRun(100, func() { b = r.append(b[:0], true) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParsingARequest(t *testing.T) {
	for _, delta := range []bool{true, false} {
		r := request{kind: Clusters, node: []byte("node"), version: []byte("v"), nonce: []byte("o"), held: map[string]string{"c": "3"}}
		got, err := ParseRequest(r.append(nil, delta), delta)
		if err != nil || !got.Known || got.Kind != Clusters || string(got.Node) != "node" || string(got.Nonce) != "o" || !got.Warm {
			t.Errorf("delta %v: %+v, %v", delta, got, err)
		}
	}
}
