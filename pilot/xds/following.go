package xds

import (
	"slices"
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
	"github.com/pilothouse-mesh/pilothouse/pilot/trace"
)

// maxFollowing bounds the changes for each client. One that falls behind by more is gone for the oldest.
const maxFollowing = 16

// following are the changes that concern a client and that it does not run yet, while somebody follows
// changes. The stream's mutex guards it.
type following []followed

type followed struct {
	*trace.Change
	refused bool // something of it
}

func (f *following) add(c *trace.Change) {
	if c == nil {
		return
	}
	if len(*f) == maxFollowing {
		(*f)[0].Gone((*f)[0].refused)
		*f = slices.Delete(*f, 0, 1)
	}
	c.Await()
	*f = append(*f, followed{Change: c})
}

// refused notes what a client said of a response. Of which of the changes it came nobody knows.
func (f following) refused(n *push.Node, t resource.Type, detail string, now time.Time) {
	for i := range f {
		f[i].refused = true
		f[i].Refused(trace.Answer{Proxy: proxyName(n), At: now, What: t.String(), Detail: cut(detail, maxDetail)})
	}
}

// taken notes that the client has all that it is to have.
func (f *following) taken(n *push.Node, now time.Time) {
	for _, c := range *f {
		c.Taken(trace.Answer{Proxy: proxyName(n), At: now}, c.refused)
	}
	*f = nil
}

// gone notes that the client's stream has ended.
func (f *following) gone() {
	for _, c := range *f {
		c.Gone(c.refused)
	}
	*f = nil
}

func proxyName(n *push.Node) string { return n.Name + "." + n.Namespace }
