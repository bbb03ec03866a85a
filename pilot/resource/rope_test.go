package resource

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// TestRopeHasTheFrameOfTheWhole frames a large route configuration of fragments, and in one go.
func TestRopeHasTheFrameOfTheWhole(t *testing.T) {
	value := &routev3.RouteConfiguration{Name: "80"}
	head, err := proto.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	bytes := slices.Clone(head)
	var fragments []*Fragment
	for i := range 100 {
		vh := &routev3.VirtualHost{Name: "h" + strconv.Itoa(i), Domains: []string{strings.Repeat("x", 1000) + strconv.Itoa(i)}}
		value.VirtualHosts = append(value.VirtualHosts, vh)
		data, err := proto.Marshal(vh)
		if err != nil {
			t.Fatal(err)
		}
		f := &Fragment{Field: protowire.AppendBytes(protowire.AppendTag(nil, 2, protowire.BytesType), data)}
		fragments, bytes = append(fragments, f), append(bytes, f.Field...)
	}
	r := NewFromFragments(Routes, "80", head, fragments)
	whole := &Resource{Type: Routes, Name: "80"}
	whole.finish(bytes)
	if r.rope == nil || whole.rope != nil {
		t.Fatal("want one of each kind")
	}
	if r.Version != whole.Version || r.size != whole.size || !slices.Equal(r.Delta(), whole.Delta()) || !slices.Equal(r.SotW(), whole.SotW()) {
		t.Error("the fragments are not the whole")
	}
	got, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, value) {
		t.Error("the message is another one")
	}
	if first := r.Delta(); &first[0] != &r.Delta()[0] {
		t.Error("two streams at one time get two copies")
	}
}
