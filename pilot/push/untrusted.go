package push

import (
	"container/list"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// Untrusted is what a proxy may run of each type that is something else than it claims, because its
// stream broke before a refused response was repaired, or before it answered one. It is nil for most.
type Untrusted map[resource.Type]UntrustedNames

// UntrustedNames is what is suspected of one type: everything, or some names. Of what is in pieces the proxy
// may have what it does not claim.
type UntrustedNames struct {
	All    bool
	Names  []string
	Pieces []*resource.Piece
}

// Add adds what is suspected of a type.
func (s *Untrusted) Add(t resource.Type, d UntrustedNames) {
	if !d.All && len(d.Names) == 0 {
		return
	}
	if *s == nil {
		*s = Untrusted{}
	}
	before := (*s)[t]
	(*s)[t] = UntrustedNames{
		All: before.All || d.All, Names: slices.Concat(before.Names, d.Names), Pieces: slices.Concat(before.Pieces, d.Pieces),
	}
}

// untrustedNodes are what is suspected of disconnected proxies, by the ID of their node.
type untrustedNodes struct {
	byID   map[string]*list.Element
	oldest *list.List // of untrustedNode
}

type untrustedNode struct {
	id   string
	what Untrusted
}

// maxUntrusted bounds how many disconnected proxies are remembered; some never come back.
const maxUntrusted = 10000

func newUntrustedNodes() *untrustedNodes {
	return &untrustedNodes{map[string]*list.Element{}, list.New()}
}

// put notes what is suspected of a proxy, in place of what was before. Of too many the oldest goes.
func (s *untrustedNodes) put(id string, what Untrusted) {
	s.take(id)
	if len(s.byID) == maxUntrusted {
		s.take(s.oldest.Front().Value.(untrustedNode).id)
	}
	s.byID[id] = s.oldest.PushBack(untrustedNode{id, what})
}

// take gives what is suspected of a proxy, or nil, and forgets it.
func (s *untrustedNodes) take(id string) Untrusted {
	at := s.byID[id]
	if at == nil {
		return nil
	}
	delete(s.byID, id)
	return s.oldest.Remove(at).(untrustedNode).what
}
