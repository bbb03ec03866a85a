package build

import (
	"context"
	"runtime"

	"golang.org/x/sync/errgroup"
)

// inParallel does something with every item on all processors, unless ctx ends before.
func inParallel[T any](ctx context.Context, items []T, do func(T)) error {
	var workers errgroup.Group
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for _, item := range items {
		workers.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			do(item)
			return nil
		})
	}
	return workers.Wait()
}
