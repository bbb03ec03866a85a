package ads

import (
	"hash/maphash"
	"sync"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	"google.golang.org/protobuf/proto"
)

// facts are what follows for a client from a cluster or a listener.
type facts struct {
	assignment string   // a cluster's load assignment; "" where endpoints are not asked for
	routes     []string // a listener's route configurations
}

// memory is what the clients of a fleet share, so that each distinct resource is decoded once and
// each name is kept once.
type memory struct {
	seed  maphash.Seed
	mu    sync.RWMutex
	words map[string]string
	facts map[uint64]*facts
}

func newMemory() *memory {
	return &memory{seed: maphash.MakeSeed(), words: map[string]string{}, facts: map[uint64]*facts{}}
}

// word gives the one copy of a string.
func (m *memory) word(b []byte) string {
	m.mu.RLock()
	s, ok := m.words[string(b)]
	m.mu.RUnlock()
	if ok {
		return s
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if s, ok := m.words[string(b)]; ok {
		return s
	}
	s = string(b)
	m.words[s] = s
	return s
}

// fingerprint stands in for the version of a resource where the protocol gives none.
func (m *memory) fingerprint(value []byte) string {
	h := maphash.Bytes(m.seed, value)
	var b [8]byte
	for i := range b {
		b[i] = byte(h >> (8 * i))
	}
	return m.word(b[:])
}

// of tells what follows from a cluster or listener.
func (m *memory) of(k Kind, value []byte) (*facts, error) {
	h := maphash.Bytes(m.seed, value)
	m.mu.RLock()
	f := m.facts[h]
	m.mu.RUnlock()
	if f != nil {
		return f, nil
	}
	f, err := decode(k, value)
	if err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.facts[h] = f
	return f, nil
}

func decode(k Kind, value []byte) (*facts, error) {
	if k == Clusters {
		c := &clusterv3.Cluster{}
		if err := proto.Unmarshal(value, c); err != nil {
			return nil, err
		}
		f := &facts{}
		if c.GetType() == clusterv3.Cluster_EDS {
			f.assignment = c.GetEdsClusterConfig().GetServiceName()
			if f.assignment == "" {
				f.assignment = c.GetName()
			}
		}
		return f, nil
	}
	l := &listenerv3.Listener{}
	if err := proto.Unmarshal(value, l); err != nil {
		return nil, err
	}
	f := &facts{}
	for _, chain := range append(l.GetFilterChains(), l.GetDefaultFilterChain()) {
		for _, filter := range chain.GetFilters() {
			hcm := &hcmv3.HttpConnectionManager{}
			if filter.GetTypedConfig().MessageIs(hcm) && filter.GetTypedConfig().UnmarshalTo(hcm) == nil {
				if name := hcm.GetRds().GetRouteConfigName(); name != "" {
					f.routes = append(f.routes, name)
				}
			}
		}
	}
	return f, nil
}
