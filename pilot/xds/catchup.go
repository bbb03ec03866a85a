package xds

import (
	"context"

	"google.golang.org/grpc/metadata"

	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

// CatchUp is how a wait for what a client's last replica had seen has ended.
type CatchUp struct {
	// Lacking is what has not been seen here. Waited tells whether anything was lacking at first.
	Lacking seen.Versions
	Waited  bool
	// Unapplied says that all has been seen, but views are not made of it yet.
	Unapplied bool
}

// catchUp lets a stream wait until this replica has seen of the API server what the client's last one had, so that
// the client is not taken back. It waits in the goroutine of the stream, before it takes a place among those that
// are admitted, and not for ever: the API server may have been restored to an older state. A caller without proof
// is neither told nor believed what was seen, since agents ask over TLS only.
func (s *stream) catchUp() error {
	md, _ := metadata.FromIncomingContext(s.ctx)
	header := md.Get(seen.Header)
	s.tellsSeen = len(header) > 0 && s.identity != ""
	if !s.tellsSeen || header[0] == "" || s.opts.CatchUp == nil {
		return nil
	}
	wanted, err := seen.Parse(header[0])
	if err != nil {
		s.share.warn(s.opts.Logger, "what a proxy says that was seen of the API server is not readable", "error", err)
		return nil
	}
	ctx, cancel := context.WithTimeout(s.ctx, s.opts.CatchUpTimeout)
	defer cancel()
	s.metrics.catchingUp.Inc()
	defer s.metrics.catchingUp.Dec()
	end := s.opts.CatchUp(ctx, wanted)
	switch {
	case s.ctx.Err() != nil:
		return context.Cause(s.ctx)
	case len(end.Lacking) > 0:
		s.metrics.catchUps.WithLabelValues("in_vain").Inc()
		s.share.warn(s.opts.Logger, "a proxy comes from a replica that had seen more of the API server; it is served what is known here, which may be older",
			"waited", s.opts.CatchUpTimeout, "lacking", cut(end.Lacking.String(), maxDetail))
	case end.Unapplied:
		s.metrics.catchUps.WithLabelValues("unapplied").Inc()
		s.share.warn(s.opts.Logger, "a proxy comes while what was seen of the API server is still being put into effect; it is served what was in effect before, which may be older",
			"waited", s.opts.CatchUpTimeout)
	case end.Waited:
		s.metrics.catchUps.WithLabelValues("caught_up").Inc()
	}
	return nil
}
