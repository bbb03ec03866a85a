package push

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
)

// TestRopeHasTheFrameOfTheWhole frames a large route configuration in pieces, and in one go.
func TestRopeHasTheFrameOfTheWhole(t *testing.T) {
	e := newEncoder()
	value := &ir.RouteConfig{Name: "80"}
	var hosts []*virtualHost
	for i := range 100 {
		vh := &ir.VirtualHost{Name: "h" + strconv.Itoa(i), Domains: []string{strings.Repeat("x", 1000) + strconv.Itoa(i)}}
		value.VirtualHosts = append(value.VirtualHosts, vh)
		encoded, err := e.virtualHost(vh)
		if err != nil {
			t.Fatal(err)
		}
		hosts = append(hosts, encoded)
	}
	r, err := e.routes("80", hosts)
	if err != nil {
		t.Fatal(err)
	}
	bytes, err := proto.MarshalOptions{Deterministic: true}.Marshal(envoy.RouteConfig(&ir.RouteConfig{Name: "80"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range hosts {
		bytes = append(bytes, h.field...)
	}
	whole := &Resource{Type: Routes, Name: "80"}
	whole.finish(bytes)
	if r.rope == nil || whole.rope != nil {
		t.Fatal("want one of each kind")
	}
	if r.Version != whole.Version || r.size != whole.size || !slices.Equal(r.Delta(), whole.Delta()) || !slices.Equal(r.SotW(), whole.SotW()) {
		t.Error("the pieces are not the whole")
	}
	got, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, envoy.RouteConfig(value)) {
		t.Error("the message is another one")
	}
	if first := r.Delta(); &first[0] != &r.Delta()[0] {
		t.Error("two streams at one time get two copies")
	}
}
