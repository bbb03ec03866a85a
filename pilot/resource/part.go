package resource

import (
	"slices"
	"strconv"
	"strings"

	"github.com/cespare/xxhash/v2"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/proto/bootstrap"
)

// Field numbers of what resources are made of, in envoy.config.route.v3.RouteConfiguration and in
// envoy.config.listener.v3.Listener.
const (
	FieldVirtualHosts       = 2
	FieldFilterChains       = 3
	FieldDefaultFilterChain = 25
)

// fieldPatches is that of Patches of a bootstrap.
const fieldPatches = 1

// Parts is a resource taken apart into what different objects gave to it: a route configuration into its
// virtual hosts, a listener into its filter chains, what is put over a bootstrap into its patches. What is between them belongs to all.
type Parts struct {
	of     *Resource
	fields [][]byte // of the message, tag and length included, in their order
	parts  []part
}

// part is one field that can be left out without harm to the others.
type part struct {
	field int // which of the fields
	sum   uint64
	body  partMessage
	// answers is what Envoy finds the part by. It takes nothing twice in a resource.
	answers []string
}

// partMessage is a part as a message.
type partMessage interface {
	proto.Message
	GetName() string
}

// Parts takes a resource apart. It gives nil where the resource has no parts, or is none of ours.
func (r *Resource) Parts() *Parts {
	if r == nil || r.Type != Routes && r.Type != Listeners && r.Type != BootstrapPatches {
		return nil
	}
	p := &Parts{of: r}
	for rest := r.Any().GetValue(); len(rest) > 0; {
		number, _, n := protowire.ConsumeField(rest)
		if n < 0 {
			return nil
		}
		if body := r.Type.part(number); body != nil {
			if !p.add(rest[:n], number, body) {
				return nil
			}
		}
		p.fields, rest = append(p.fields, rest[:n]), rest[n:]
	}
	if len(p.parts) == 0 {
		return nil
	}
	return p
}

// part gives an empty message for a field that is a part, else nil.
func (t Type) part(number protowire.Number) partMessage {
	switch {
	case t == Routes && number == FieldVirtualHosts:
		return &routev3.VirtualHost{}
	case t == Listeners && (number == FieldFilterChains || number == FieldDefaultFilterChain):
		return &listenerv3.FilterChain{}
	case t == BootstrapPatches && number == fieldPatches:
		return &bootstrap.Patch{}
	}
	return nil
}

// add takes a field as a part.
func (p *Parts) add(field []byte, number protowire.Number, body partMessage) bool {
	_, _, n := protowire.ConsumeTag(field)
	value, _ := protowire.ConsumeBytes(field[n:])
	if err := proto.Unmarshal(value, body); err != nil {
		return false
	}
	x := part{field: len(p.fields), sum: xxhash.Sum64(field), body: body}
	switch m := body.(type) {
	case *routev3.VirtualHost:
		for _, domain := range m.GetDomains() {
			x.answers = append(x.answers, strings.ToLower(domain))
		}
	case *listenerv3.FilterChain:
		x.answers = []string{"default"}
		if number == FieldFilterChains {
			match, _ := proto.MarshalOptions{Deterministic: true}.Marshal(m.GetFilterChainMatch()) // it was just read
			x.answers = []string{"match " + string(match)}
		}
	case *bootstrap.Patch:
		x.answers = []string{m.GetName()}
	}
	p.parts = append(p.parts, x)
	return true
}

// Of gives the resource that was taken apart.
func (p *Parts) Of() *Resource { return p.of }

// Len gives the number of parts.
func (p *Parts) Len() int { return len(p.parts) }

// Sum gives a hash of the bytes of a part.
func (p *Parts) Sum(i int) uint64 { return p.parts[i].sum }

// Message gives a part; nobody may change it.
func (p *Parts) Message(i int) proto.Message { return p.parts[i].body }

// Name gives a part's name; "" for none.
func (p *Parts) Name(i int) string { return p.parts[i].body.GetName() }

// Describe names a part, as "virtual host "web:80"".
func (p *Parts) Describe(i int) string {
	kind := "virtual host"
	switch p.of.Type {
	case Listeners:
		kind = "filter chain"
	case BootstrapPatches:
		kind = "patch"
	}
	if name := p.Name(i); name != "" {
		return kind + " " + strconv.Quote(name)
	}
	return "a " + kind
}

// Unlike lists the parts that another resource has not got with the same bytes; nil has none.
func (p *Parts) Unlike(o *Parts) []int {
	known := map[uint64]struct{}{}
	if o != nil {
		for _, x := range o.parts {
			known[x.sum] = struct{}{}
		}
	}
	var out []int
	for i, x := range p.parts {
		if _, ok := known[x.sum]; !ok {
			out = append(out, i)
		}
	}
	return out
}

// find gives the part of a name that answers for exactly the same, or nil.
func (p *Parts) find(like part) *part {
	if p == nil {
		return nil
	}
	for i := range p.parts {
		if x := &p.parts[i]; x.body.GetName() == like.body.GetName() && sameAnswers(x.answers, like.answers) {
			return x
		}
	}
	return nil
}

func sameAnswers(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(a, b)
}
