package kube

import (
	"context"

	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

// Seen gives of each kind the newest version that the sink was told of. It leaves out kinds that have not been
// listed yet. What the sink is being told of is waited for.
func (s *Source) Seen() seen.Versions {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.progress.versions(func(p *position) string { return p.told })
}

// Reached gives of each kind a version up to which the sink was told of all, which may be newer than that of the
// last change.
func (s *Source) Reached() seen.Versions {
	return s.progress.versions(func(p *position) string { return p.reached })
}

// CatchUp waits until the sink was told of all that is at least as new as the versions, or until ctx ends. It gives
// those that are lacking then, and tells whether any was at first. Kinds that the source does not follow are passed over.
func (s *Source) CatchUp(ctx context.Context, to seen.Versions) (lacking seen.Versions, waited bool) {
	next := 0
	for {
		var m *mark
		if m, next = s.progress.await(to, next); m == nil {
			return nil, waited
		}
		waited = true
		select {
		case <-m.passed:
		case <-ctx.Done():
			s.progress.leave(m)
			return s.progress.lacking(to), true
		}
	}
}

// moved notes how far a kind has come: by a bookmark, or by what the sink was told.
func (s *Source) moved(kind, version string, bookmark bool) {
	if !s.progress.moved(kind, version, bookmark) {
		s.incomparable.Do(func() {
			s.log.Warn("the API server's resourceVersions are no decimal numbers; a replica that lags behind another may take proxies back", "kind", kind, "version", version)
		})
	}
}
