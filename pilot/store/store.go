// Package store holds the mesh's objects and makes of them immutable snapshots: services,
// endpoints and configuration with the indexes that translation needs. It is the one commit
// point of the flow: sources hand it events, and it delivers commits, each a snapshot with what
// changed in value. It knows nothing of proxies.
package store

import (
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Commit is one step of the configuration.
type Commit struct {
	Snapshot *Snapshot
	// Changed holds the objects, services among them, whose value changed.
	Changed map[model.Key]struct{}
	// Endpoints holds the services whose endpoints changed.
	Endpoints map[model.Key]struct{}
	// Full tells that anything may have changed: on the first commit and with the mesh's
	// configuration.
	Full bool
}

// Options of a snapshot or a store.
type Options struct {
	// Domain is the cluster's DNS suffix, cluster.local if empty.
	Domain string
}

// FromObjects gives the snapshot of a set of objects; of two with the same key the first counts.
func FromObjects(objects []*model.Object, opts Options) *Snapshot {
	s := newState(opts.Domain)
	for _, o := range objects {
		if s.objects.row(o.Key) == nil {
			s.put(o.Key, o)
		}
	}
	c, _ := s.commit()
	return c.Snapshot
}
