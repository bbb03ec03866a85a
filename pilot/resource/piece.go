package resource

import (
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/cespare/xxhash/v2"
)

// pieceSize bounds the bytes that are put together: large enough to be sent at little cost, small
// enough to be a response of its own. Resources of more than largeResource stand alone and are not
// copied.
const (
	pieceSize     = 256 << 10
	largeResource = 32 << 10
)

// Piece is a run of resources that are sent together. Their bytes are put together once for all
// streams that send them at about the same time, and are gone after the last of these.
type Piece struct {
	Resources []*Resource // by name; nobody may change the list

	size     int
	accepted atomic.Bool

	mu     sync.Mutex
	joined [2]weak.Pointer[Joined] // delta, state of the world
}

// Joined are the bytes of a piece, which live as long as somebody holds on to them.
type Joined struct{ Bytes []byte }

// Size gives the bytes that the piece takes in a delta response.
func (p *Piece) Size() int { return p.size }

// Accept marks that a proxy has acknowledged all resources of the piece.
func (p *Piece) Accept() {
	if p.accepted.Load() {
		return
	}
	for _, r := range p.Resources {
		r.Accept()
	}
	p.accepted.Store(true)
}

// Join gives the bytes that stand for the resources in a response of either protocol. Nobody may
// write to them.
func (p *Piece) Join(delta bool) *Joined {
	p.mu.Lock()
	defer p.mu.Unlock()
	slot := &p.joined[0]
	if !delta {
		slot = &p.joined[1]
	}
	if known := slot.Value(); known != nil {
		return known
	}
	made := &Joined{}
	if len(p.Resources) == 1 {
		made.Bytes = p.Resources[0].Frame(delta)
	} else {
		made.Bytes = make([]byte, 0, p.size)
		for _, r := range p.Resources {
			made.Bytes = append(made.Bytes, r.Frame(delta)...)
		}
	}
	*slot = weak.Make(made)
	return made
}

// newPiece takes ownership of the list.
func newPiece(resources []*Resource) *Piece {
	p := &Piece{Resources: resources}
	for _, r := range resources {
		p.size += r.size
	}
	return p
}

// split puts resources, by name, into pieces.
func split(resources []*Resource) []*Piece {
	var out []*Piece
	start, size := 0, 0
	cut := func(end int) {
		if end > start {
			out = append(out, newPiece(slices.Clip(resources[start:end])))
		}
		start, size = end, 0
	}
	for i, r := range resources {
		n := r.size
		if n > largeResource || size+n > pieceSize {
			cut(i)
		}
		if size += n; n > largeResource {
			cut(i + 1)
		}
	}
	cut(len(resources))
	return out
}

// Selection is what a set has for some names.
type Selection struct {
	Pieces  []*Piece // all resources, in no particular order of pieces
	Missing []string // names that the set lacks, sorted
	totals
}

// Len gives the number of resources.
func (s *Selection) Len() int { return s.length }

// Equals tells whether the resources are exactly those that a client claims to hold.
func (s *Selection) Equals(c *Claims) bool { return s.sum == c.sum && s.length == c.length }

// Claims are what a client says it holds, as much of it as it takes to compare with a set.
type Claims struct {
	sum    uint64 // as that of totals
	length int
	room   []byte
}

// Add adds a claim.
func (c *Claims) Add(name, version []byte) {
	c.room = append(c.room[:0], name...)
	c.room = append(c.room, 0)
	c.room = append(c.room, version...)
	c.sum += xxhash.Sum64(c.room)
	c.length++
}

// maxSelections bounds how many sets of names a set remembers its selection for: those who watch
// the same view mostly ask for the same names.
const maxSelections = 16

// Select gives what the set has for names, all of it for nil. It is computed once for all streams
// that ask.
func (s *Set) Select(n *Names) *Selection {
	s.mu.Lock()
	defer s.mu.Unlock()
	var id uint64 // no set of names has 0
	if n != nil {
		id = n.id
	}
	if known := s.selections[id]; known != nil {
		return known
	}
	made := s.compute(n)
	if s.selections == nil || len(s.selections) >= maxSelections {
		s.selections = map[uint64]*Selection{}
	}
	s.selections[id] = made
	return made
}

func (s *Set) compute(n *Names) *Selection {
	if n == nil {
		return &Selection{Pieces: s.cut(), totals: s.totals}
	}
	out := &Selection{}
	list := make([]*Resource, 0, n.Len())
	names := n.list
	for r := range s.All() {
		for len(names) > 0 && names[0] < r.Name {
			out.Missing, names = append(out.Missing, names[0]), names[1:]
		}
		if len(names) > 0 && names[0] == r.Name {
			list, names = append(list, r), names[1:]
			out.count(r, 1)
		}
	}
	out.Missing = append(out.Missing, names...)
	if out.length == s.length {
		out.Pieces = s.cut()
	} else {
		out.Pieces = split(list)
	}
	return out
}

// cut gives the set's pieces: those of the base, but for what is hidden, and those of its own
// resources. The caller holds the mutex.
func (s *Set) cut() []*Piece {
	if s.pieces != nil {
		return s.pieces
	}
	if s.base != nil {
		s.pieces = uncovered(s.base.Select(nil).Pieces, s.over)
	}
	own := make([]*Resource, 0, len(s.over))
	for _, e := range s.over {
		if e.Resource != nil {
			own = append(own, e.Resource)
		}
	}
	s.pieces = append(s.pieces, split(own)...)
	return s.pieces
}

// uncovered gives pieces without the resources that entries hide.
func uncovered(pieces []*Piece, over []Entry) []*Piece {
	hides := func(r *Resource) bool {
		_, found := slices.BinarySearchFunc(over, Entry{Name: r.Name}, CompareEntries)
		return found
	}
	out := make([]*Piece, 0, len(pieces)+1)
	for _, p := range pieces {
		if slices.ContainsFunc(p.Resources, hides) {
			if left := slices.DeleteFunc(slices.Clone(p.Resources), hides); len(left) > 0 {
				out = append(out, newPiece(left))
			}
			continue
		}
		out = append(out, p)
	}
	return out
}

// piecesAfter gives the pieces of a set after changes, sorted by name, if it was asked for its own
// before and has no base: those without a change stay, so that in a storm of changes little is put
// together again. It gives nil where it is time to cut anew.
func (s *Set) piecesAfter(changes []Entry) []*Piece {
	s.mu.Lock()
	pieces := s.pieces
	s.mu.Unlock()
	if s.base != nil {
		return nil // its pieces are not in order
	}
	out := make([]*Piece, 0, len(pieces))
	for i, p := range pieces {
		end := len(changes)
		if i+1 < len(pieces) { // what is new between two pieces goes into the first
			end, _ = slices.BinarySearchFunc(changes, Entry{Name: pieces[i+1].Resources[0].Name}, CompareEntries)
		}
		if end == 0 {
			out = append(out, p)
			continue
		}
		out = append(out, split(merge(p.Resources, changes[:end]))...)
		changes = changes[end:]
	}
	if len(out) == 0 || len(out) > maxPieces(s.bytes) {
		return nil
	}
	return out
}

// maxPieces is how many pieces so many bytes have, unless many became small: large resources alone
// make up to pieceSize/largeResource times as many as others.
func maxPieces(bytes int) int { return 16 + bytes/largeResource }

// merge gives resources with some entries replaced, where nil removes; both are by name.
func merge(resources []*Resource, changes []Entry) []*Resource {
	out := make([]*Resource, 0, len(resources)+len(changes))
	for _, e := range changes {
		for len(resources) > 0 && resources[0].Name < e.Name {
			out, resources = append(out, resources[0]), resources[1:]
		}
		if len(resources) > 0 && resources[0].Name == e.Name {
			resources = resources[1:]
		}
		if e.Resource != nil {
			out = append(out, e.Resource)
		}
	}
	return append(out, resources...)
}
