package push

import (
	"context"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/pilothouse-mesh/pilothouse/pilot/build"
	"github.com/pilothouse-mesh/pilothouse/pilot/model"
	"github.com/pilothouse-mesh/pilothouse/pilot/resolve"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/store"
	"github.com/pilothouse-mesh/pilothouse/pilot/trace"
	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

// Translator turns states of the mesh into what classes should have. Advance comes first and
// alone, once for each state; the others may then be called concurrently.
type Translator interface {
	// Advance goes to the state.
	Advance(ctx context.Context) (build.Work, error)
	// Retain drops what no live class has, which are those with proxies. It comes alone as well.
	Retain(live []*resolve.Class)
	// Seat finds the class of a proxy and keeps it up to date, until Leave.
	Seat(p *model.Proxy) *build.Seat
	Leave(s *build.Seat)
	// Result gives what a class should have, and FromScratch how to make it from scratch: that belongs to the
	// present state and may be called later, beside everything else.
	Result(c *resolve.Class) build.Result
	FromScratch(c *resolve.Class) func() build.Result
	// Patching gives the patches of EnvoyFilters that concern a resource of a class, or a part of it where part is not
	// nil, as it is in the present state.
	Patching(c *resolve.Class, r *resource.Resource, part proto.Message) []model.MadeOf
	// Discard drops what was kept for a class. It comes alone as well.
	Discard(c *resolve.Class)
}

// Commit is a new state of the mesh.
type Commit struct {
	Translator Translator
	// Since is when the oldest event in the commit arrived.
	Since time.Time
	// Change follows the commit to the last acknowledgement; nil for nobody.
	Change *trace.Change
	// Seen is what the source has seen of its API server, at least all that is in the commit; nil for files.
	Seen seen.Versions
}

// Built gives the Commit in which a Builder goes on to a commit of the store.
func Built(b *build.Builder, c store.Commit) Commit {
	return Commit{Translator: step{b, c}, Since: c.Since}
}

// step is a Builder on its way to a commit.
type step struct {
	*build.Builder
	commit store.Commit
}

// Advance goes to the step's commit.
func (s step) Advance(ctx context.Context) (build.Work, error) {
	return s.Builder.Advance(ctx, s.commit)
}
