package discovery

import (
	"maps"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/pilot/trace"
)

// maxNamed bounds the objects and namespaces that a trace names.
const maxNamed = 20

// follow follows a commit, unless nobody wants it.
func (p *plane) follow(c store.Commit, version uint64) *trace.Change {
	if p.cfg.Changes == nil {
		return nil
	}
	return p.cfg.Changes.Begin(eventOf(c, version))
}

func eventOf(c store.Commit, version uint64) trace.Event {
	kinds, namespaces := map[string]struct{}{}, map[string]struct{}{}
	var keys []model.Key
	for key := range c.Changed {
		kinds[string(key.Kind)], namespaces[key.Namespace] = struct{}{}, struct{}{}
		keys = append(keys, key)
	}
	slices.SortFunc(keys, model.Key.Compare)
	var objects []string
	for _, key := range keys[:min(len(keys), maxNamed)] {
		objects = append(objects, key.String())
	}
	for key := range c.Endpoints {
		namespaces[key.Namespace] = struct{}{}
	}
	named := slices.Sorted(maps.Keys(namespaces))
	return trace.Event{
		Arrived: c.Since, Committing: c.Began, Committed: c.Ended, Version: version,
		Kinds: slices.Sorted(maps.Keys(kinds)), Namespaces: named[:min(len(named), maxNamed)], Objects: objects,
		Changed: len(c.Changed), Endpoints: len(c.Endpoints), Full: c.Full,
	}
}
