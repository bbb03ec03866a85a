package build

import (
	"context"
	"runtime"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// inParallel does something with every item on all processors, unless ctx ends before.
func inParallel[T any](ctx context.Context, items []T, do func(T)) error {
	var next atomic.Int64
	var workers errgroup.Group
	for range min(runtime.GOMAXPROCS(0), len(items)) {
		workers.Go(func() error {
			for i := next.Add(1) - 1; int(i) < len(items); i = next.Add(1) - 1 {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				do(items[i])
			}
			return nil
		})
	}
	return workers.Wait()
}
