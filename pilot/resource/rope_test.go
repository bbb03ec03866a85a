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
	if r.Version != whole.Version || r.size != whole.size || !slices.Equal(r.Frame(true), whole.Frame(true)) || !slices.Equal(r.Frame(false), whole.Frame(false)) {
		t.Error("the fragments are not the whole")
	}
	got, err := r.Message()
	if err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, value) {
		t.Error("the message is another one")
	}
	if first := r.Frame(true); &first[0] != &r.Frame(true)[0] {
		t.Error("two streams at one time get two copies")
	}
}

// TestAPoolKnowsARopeByItsBytes has the same listener put together from fragments, in one go, and from other
// fragments of the same bytes: the pool keeps one of them.
func TestAPoolKnowsARopeByItsBytes(t *testing.T) {
	field := func(text string) *Fragment {
		return &Fragment{Field: protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), text)}
	}
	joined := func(fragments ...*Fragment) *Resource {
		return NewFromFragments(Listeners, "l", []byte{8, 1}, fragments)
	}
	whole := func(bytes ...byte) *Resource {
		r := &Resource{Type: Listeners, Name: "l"}
		r.finish(bytes)
		return r
	}
	one, two := field("one"), field("two")
	bytes := slices.Concat([]byte{8, 1}, one.Field, two.Field)
	for name, same := range map[string]*Resource{
		"the same fragments": joined(one, two), "others": joined(field("one"), field("two")), "one go": whole(bytes...),
	} {
		for _, first := range []*Resource{joined(one, two), whole(bytes...)} {
			if p := NewPool(); p.One(first) != first || p.One(same) != first {
				t.Errorf("%s: there are two of them", name)
			}
		}
	}
	short, long, other := joined(one), joined(one, two, two), joined(one, field("owt"))
	for _, r := range []*Resource{joined(one, two), whole(bytes...)} {
		for _, o := range []*Resource{short, long, other, whole(other.Any().GetValue()...), whole(short.Any().GetValue()...)} {
			if r.sameBytes(o) || o.sameBytes(r) {
				t.Errorf("%v has the bytes of %v", r.Any().GetValue(), o.Any().GetValue())
			}
		}
	}
}
