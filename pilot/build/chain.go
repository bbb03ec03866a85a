package build

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/envoy"
	"github.com/pilothouse-mesh/pilothouse/pilot/ir"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// encodedChain is a filter chain as a field of a marshalled listener. Each workload has a listener of its own
// for what it receives, of which most chains are like those of others.
type encodedChain struct{ resource.Fragment }

// Fields of envoy.config.listener.v3.Listener.
const (
	fieldFilterChains       = 3
	fieldDefaultFilterChain = 25
)

// chainInput is the whole input of an encodedChain.
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
		inputs = append(inputs, chainInput{c, fieldFilterChains, l.QUIC})
	}
	if l.Default != nil {
		inputs = append(inputs, chainInput{l.Default, fieldDefaultFilterChain, l.QUIC})
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
			chain, err := e.chain(whole.chains[i], inputs[i])
			if err != nil {
				return nil, err
			}
			fragments[i] = &chain.Fragment
		}
		return e.pool.One(resource.NewFromFragments(resource.Listeners, l.Name, head, fragments)), nil
	})
}

func (e *encoder) chain(key digest, in chainInput) (*encodedChain, error) {
	return e.chains.get(key, func() (*encodedChain, error) {
		m := envoy.FilterChain(in.chain, in.quic, &e.elements)
		if err := validate(m); err != nil {
			return nil, err
		}
		field, err := fieldOf(in.field, m)
		return &encodedChain{resource.Fragment{Field: field}}, err
	})
}

// fieldOf marshals a message as a field of another.
func fieldOf(number protowire.Number, m proto.Message) ([]byte, error) {
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		return nil, err
	}
	size := protowire.SizeTag(number) + protowire.SizeBytes(len(data))
	return protowire.AppendBytes(protowire.AppendTag(make([]byte, 0, size), number, protowire.BytesType), data), nil
}
