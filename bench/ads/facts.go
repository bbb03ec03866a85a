package ads

import (
	"errors"
	"hash/maphash"
	"strings"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
)

// facts are what follows for a client from a cluster or a listener.
type facts struct {
	assignment string   // a cluster's load assignment; "" where endpoints are not asked for
	routes     []string // a listener's route configurations
	secrets    []string // and the certificates that the control plane has for it
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

// Fields of Envoy's messages from which facts follow.
const (
	clusterName, clusterType, clusterEDS = 1, 2, 3
	typeEDS                              = 3
	edsServiceName                       = 2

	listenerChains, listenerDefaultChain = 3, 25
	chainFilters, filterConfig           = 3, 4
	managerRDS, rdsName                  = 3, 2

	chainSocket, socketConfig         = 6, 3
	tlsCommon, commonSecrets, sdsName = 1, 6, 1

	managerURL   = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
	serverTLSURL = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
	// secretPrefix is of the names of Secrets; the other certificates come from the agent.
	secretPrefix = "kubernetes://"
)

func decode(k Kind, value []byte) (*facts, error) {
	if k == Clusters {
		return decodeCluster(value)
	}
	f := &facts{}
	for _, chain := range []protowire.Number{listenerChains, listenerDefaultChain} {
		err := errors.Join(within(value, f.addRoutes, chain, chainFilters, filterConfig),
			within(value, f.addSecrets, chain, chainSocket, socketConfig))
		if err != nil {
			return nil, err
		}
	}
	return f, nil
}

func decodeCluster(value []byte) (*facts, error) {
	f, eds := &facts{}, false
	var name string
	err := fields(value, func(n protowire.Number, data []byte, number uint64) error {
		switch n {
		case clusterName:
			name = string(data)
		case clusterType:
			eds = number == typeEDS
		case clusterEDS:
			return within(data, func(b []byte) error {
				f.assignment = string(b)
				return nil
			}, edsServiceName)
		}
		return nil
	})
	switch {
	case !eds:
		f.assignment = ""
	case f.assignment == "":
		f.assignment = name
	}
	return f, err
}

// addRoutes takes the route configuration that a filter names, if it manages HTTP connections.
func (f *facts) addRoutes(config []byte) error {
	manager, err := unpack(config, managerURL)
	if err != nil {
		return err
	}
	return within(manager, func(name []byte) error {
		f.routes = append(f.routes, string(name))
		return nil
	}, managerRDS, rdsName)
}

// addSecrets takes the certificates that a transport socket presents.
func (f *facts) addSecrets(config []byte) error {
	context, err := unpack(config, serverTLSURL)
	if err != nil {
		return err
	}
	return within(context, func(name []byte) error {
		if strings.HasPrefix(string(name), secretPrefix) {
			f.secrets = append(f.secrets, string(name))
		}
		return nil
	}, tlsCommon, commonSecrets, sdsName)
}

// unpack gives the message in an Any; nothing where it is of another type.
func unpack(config []byte, want string) ([]byte, error) {
	var url, value []byte
	err := fields(config, func(n protowire.Number, data []byte, _ uint64) error {
		switch n {
		case fieldAnyURL:
			url = data
		case fieldAnyValue:
			value = data
		}
		return nil
	})
	if err != nil || string(url) != want {
		return nil, err
	}
	return value, nil
}

// within calls f for each field that a path of fields leads to.
func within(b []byte, f func([]byte) error, path ...protowire.Number) error {
	if len(path) == 0 {
		return f(b)
	}
	return fields(b, func(n protowire.Number, data []byte, _ uint64) error {
		if n != path[0] {
			return nil
		}
		return within(data, f, path[1:]...)
	})
}
