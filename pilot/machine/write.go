package machine

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// The bounds of writing: so many changes at once, so long for each, and so long for all of a round. What is left
// then comes in the next round, together with what has become more urgent.
const (
	writesAtOnce = 8
	writeTimeout = 5 * time.Second
	roundTimeout = 10 * time.Second
)

// sortChanges puts those first that bring a machine into service or out of it, and questions last.
func sortChanges(all []Change) {
	urgency := func(c Change) int {
		switch {
		case c.turns:
			return 0
		case !c.Ask:
			return 1
		}
		return 2
	}
	slices.SortStableFunc(all, func(a, b Change) int { return cmp.Compare(urgency(a), urgency(b)) })
}

// writeAll writes changes, and tells whether some are to be written again.
func (g *Registry) writeAll(ctx context.Context, all []Change) (failed bool) {
	sortChanges(all)
	whole, cancel := context.WithTimeout(ctx, roundTimeout)
	defer cancel()
	var mu sync.Mutex
	var first error
	var left []Change
	var group errgroup.Group
	group.SetLimit(writesAtOnce)
	for _, c := range all {
		group.Go(func() error {
			one, cancel := context.WithTimeout(whole, writeTimeout)
			defer cancel()
			err := one.Err() // the round has ended
			if err == nil {
				err = g.opts.Write(one, c)
			}
			if c.Registration != nil {
				g.written(c, err)
			}
			if err != nil {
				mu.Lock()
				defer mu.Unlock()
				first = cmp.Or(first, err)
				left = append(left, c)
			}
			return nil // others are written nevertheless
		})
	}
	_ = group.Wait() // it has none
	if len(left) == 0 || ctx.Err() != nil {
		return false
	}
	g.opts.Logger.Warn("cannot write the health or registration of machines", "entries", len(left), "first", left[0].Key.String(), "error", first)
	for _, c := range left {
		if !c.Ask && c.Registration == nil { // these come again by themselves
			g.again(c)
			failed = true
		}
	}
	return failed
}
