package discovery

import (
	"sync"

	meshconfig "istio.io/api/mesh/v1alpha1"

	"github.com/pilothouse-mesh/pilothouse/pilot/store"
)

// mesh is the mesh's configuration of the last commit, for those who wait for another one.
type mesh struct {
	mu      sync.Mutex
	of      *store.Snapshot // nil before the first commit
	changed chan struct{}
}

func newMesh() *mesh { return &mesh{changed: make(chan struct{})} }

// Mesh gives the present one.
func (m *mesh) Mesh() *meshconfig.MeshConfig {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.of == nil {
		return nil
	}
	return m.of.Mesh()
}

// Changed gives a channel that is closed when there is another one.
func (m *mesh) Changed() <-chan struct{} {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed
}

// commit takes the configuration of a commit.
func (m *mesh) commit(c store.Commit) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.of = c.Snapshot
	if c.Full {
		close(m.changed)
		m.changed = make(chan struct{})
	}
}
