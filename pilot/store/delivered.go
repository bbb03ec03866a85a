package store

import (
	"context"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/model"
)

// Objects gives all objects that decide about proxies as the sources delivered them, in order; what the store
// itself derives is not among them. The error is ctx's.
func (s *Store) Objects(ctx context.Context) ([]*model.Object, error) {
	out := make(chan []*model.Object, 1) // the runner waits for nobody
	s.post(func(r *runner) { out <- r.state.delivered() })
	select {
	case objects := <-out:
		slices.SortFunc(objects, func(a, b *model.Object) int { return a.Compare(b.Key) })
		return objects, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// delivered lists the objects that were not derived here, in no order.
func (s *state) delivered() []*model.Object {
	var out []*model.Object
	for _, objects := range s.members {
		for _, o := range objects {
			if s.derived[o.Key] == nil {
				out = append(out, o)
			}
		}
	}
	return out
}
