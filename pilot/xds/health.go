package xds

import (
	"time"

	"github.com/pilothouse-mesh/pilothouse/pilot/push"
)

// HealthType is the type of the requests by which agents of machines tell the health of their applications: with an
// error where it is bad. They are no subscriptions, and have no answer.
const HealthType = "type.googleapis.com/istio.v1.HealthInformation"

// Health is what an agent says of its application.
type Health struct {
	Node   *push.Node // whose Identity is proven
	Stream string     // on which it was said
	// Healthy tells that all is well, Message what is wrong otherwise, in at most maxDetail bytes.
	Healthy bool
	Message string
}

// isHealth tells whether a request is of HealthType.
func (r *request) isHealth() bool { return string(r.url) == HealthType }

// tellHealth hands on what the client says. A caller without proof speaks for nobody.
func (s *stream) tellHealth(r *request) {
	if s.opts.Health == nil || s.identity == "" {
		return
	}
	s.spoke = true
	s.opts.Health(Health{Node: s.client.Node(), Stream: s.id, Healthy: !r.nacked, Message: cut(string(r.detail), maxDetail)})
}

// Join is a stream of a proxy that names the WorkloadGroup by which it wants to be registered.
type Join struct {
	Node   *push.Node // whose Identity is proven
	Stream string
	// Connection that the stream is one of: where it comes from, with its port; "" where that is unknown.
	Connection string
	Since      time.Time
}

// tellJoin tells of a client that names a group. A caller without proof is no machine.
func (s *stream) tellJoin() {
	if n := s.client.Node(); s.opts.Join != nil && s.identity != "" && n.Group != "" {
		s.spoke = true
		s.opts.Join(Join{Node: n, Stream: s.id, Connection: s.peer, Since: s.connected})
	}
}

// tellEnd tells that a stream says no more.
func (s *stream) tellEnd() {
	if s.spoke && s.opts.Ended != nil {
		s.opts.Ended(s.id)
	}
}
