package build

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// chainInput is the whole input of a filter chain as a field of a marshalled listener. Each workload has a listener
// of its own for what it receives, of which most chains are like those of others.
type chainInput struct {
	chain *ir.FilterChain
	field protowire.Number
	quic  bool
}

// listenerInput is the whole input of a listener, with the digests of its chains in their place.
type listenerInput struct {
	head   ir.Listener
	chains []digest
}

// listener gives the resource of a listener, put together from chains that it may share with others.
func (e *encoder) listener(l *ir.Listener) (*resource.Resource, error) {
	inputs := make([]chainInput, 0, len(l.Chains)+1)
	for _, c := range l.Chains {
		inputs = append(inputs, chainInput{c, resource.FieldFilterChains, l.QUIC})
	}
	if l.Default != nil {
		inputs = append(inputs, chainInput{l.Default, resource.FieldDefaultFilterChain, l.QUIC})
	}
	whole := &listenerInput{head: *l, chains: make([]digest, len(inputs))}
	whole.head.Chains, whole.head.Default = nil, nil
	for i := range inputs {
		whole.chains[i] = e.digests.of(&inputs[i])
	}
	return e.memos[resource.Listeners].get(e.digests.of(whole), func() (*resource.Resource, error) {
		m := envoy.ListenerHead(l, &e.elements)
		if err := validate(m); err != nil {
			return nil, err
		}
		head, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
		if err != nil {
			return nil, err
		}
		fragments := make([]*resource.Fragment, len(inputs))
		for i := range inputs {
			if fragments[i], err = e.chain(whole.chains[i], inputs[i]); err != nil {
				return nil, err
			}
		}
		return e.pool.One(resource.NewFromFragments(resource.Listeners, l.Name, head, fragments)), nil
	})
}

func (e *encoder) chain(key digest, in chainInput) (*resource.Fragment, error) {
	return e.chains.get(key, func() (*resource.Fragment, error) {
		m := envoy.FilterChain(in.chain, in.quic, &e.elements)
		if err := validate(m); err != nil {
			return nil, err
		}
		f, err := resource.FragmentOf(in.field, m)
		return &f, err
	})
}
