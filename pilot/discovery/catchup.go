package discovery

import (
	"context"
	"sync/atomic"

	"github.com/pilothouse-mesh/pilothouse/pilot/incluster"
	"github.com/pilothouse-mesh/pilothouse/pilot/xds"
	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

// follower is a source that knows how far it has followed an API server.
type follower interface {
	Seen() seen.Versions
	Reached() seen.Versions
	CatchUp(ctx context.Context, to seen.Versions) (lacking seen.Versions, waited bool)
}

// keepCluster keeps what a source of an API server tells beside its objects.
func (p *plane) keepCluster(from source) {
	p.objects, _ = from.(incluster.Objects)
	p.cluster, _ = from.(follower)
}

// seen gives what the source has seen of the API server.
func (p *plane) seen() seen.Versions {
	if p.cluster == nil {
		return nil
	}
	return p.cluster.Seen()
}

// catchUp waits until what proxies get is made of all that is as new as the versions, or until ctx ends. Without an
// API server nothing is lacking.
func (p *plane) catchUp(ctx context.Context, to seen.Versions) (end xds.CatchUp) {
	if p.cluster == nil {
		return end
	}
	if end.Lacking, end.Waited = p.cluster.CatchUp(ctx, to); len(end.Lacking) == 0 && !p.applied.covers(to) {
		end.Unapplied = p.settle(ctx) != nil
	}
	return end
}

// settle waits until all that the source has reached is in effect, or until ctx ends.
func (p *plane) settle(ctx context.Context) error {
	reached := p.cluster.Reached()
	if err := p.store.Settle(ctx); err != nil {
		return err
	}
	p.applied.to(reached)
	return nil
}

// applied is what of the API server is in effect for sure. What is newer may be as well.
type applied struct{ versions atomic.Pointer[seen.Versions] }

func (a *applied) to(versions seen.Versions) { a.versions.Store(&versions) }

// covers tells whether all is in effect that is as old as the versions.
func (a *applied) covers(to seen.Versions) bool {
	versions := a.versions.Load()
	return versions != nil && versions.Cover(to)
}

// followApplied notes after each commit what is in effect then, until ctx ends: a proxy that has seen no more
// does not wait while the next one is applied.
func (p *plane) followApplied(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-p.advanced:
			_ = p.settle(ctx) // which fails only where ctx ends
		}
	}
}
