package push

import (
	"container/list"
	"slices"
)

// Suspicion is what a proxy may run of each type that is something else than it claims, because its
// stream broke before a refused response was repaired, or before it answered one. It is nil for most.
type Suspicion map[Type]Doubt

// Doubt is what is suspected of one type: everything, or some names. Of what is in pieces the proxy
// may have what it does not claim.
type Doubt struct {
	All    bool
	Names  []string
	Pieces []*Piece
}

// Add adds what is suspected of a type.
func (s *Suspicion) Add(t Type, d Doubt) {
	if !d.All && len(d.Names) == 0 {
		return
	}
	if *s == nil {
		*s = Suspicion{}
	}
	before := (*s)[t]
	(*s)[t] = Doubt{
		All: before.All || d.All, Names: slices.Concat(before.Names, d.Names), Pieces: slices.Concat(before.Pieces, d.Pieces),
	}
}

// suspects are what is suspected of disconnected proxies, by the ID of their node.
type suspects struct {
	byID   map[string]*list.Element
	oldest *list.List // of suspect
}

type suspect struct {
	id   string
	what Suspicion
}

// maxSuspects bounds how many disconnected proxies are remembered; some never come back.
const maxSuspects = 10000

func newSuspects() *suspects { return &suspects{map[string]*list.Element{}, list.New()} }

// put notes what is suspected of a proxy, in place of what was before. Of too many the oldest goes.
func (s *suspects) put(id string, what Suspicion) {
	s.take(id)
	if len(s.byID) == maxSuspects {
		s.take(s.oldest.Front().Value.(suspect).id)
	}
	s.byID[id] = s.oldest.PushBack(suspect{id, what})
}

// take gives what is suspected of a proxy, or nil, and forgets it.
func (s *suspects) take(id string) Suspicion {
	at := s.byID[id]
	if at == nil {
		return nil
	}
	delete(s.byID, id)
	return s.oldest.Remove(at).(suspect).what
}
