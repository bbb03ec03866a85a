package resource

import (
	"slices"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/cespare/xxhash/v2"
)

// blockSize bounds the bytes that are put together: large enough to be sent at little cost, small
// enough to be a response of its own. Resources of more than largeResource stand alone and are not
// copied.
const (
	blockSize     = 256 << 10
	largeResource = 32 << 10
)

// Block is a run of resources that are sent together. Their bytes are put together once for all
// streams that send them at about the same time, and are gone after the last of these.
type Block struct {
	Resources []*Resource // by name; nobody may change the list

	size     int
	accepted atomic.Bool

	mu     sync.Mutex
	joined [2]weak.Pointer[Joined] // delta, state of the world
}

// Joined are the bytes of a block, which live as long as somebody holds on to them.
type Joined struct{ Bytes []byte }

// Size gives the bytes that the block takes in a delta response.
func (b *Block) Size() int { return b.size }

// Accept marks that a proxy has acknowledged all resources of the block.
func (b *Block) Accept() {
	if b.accepted.Load() {
		return
	}
	for _, r := range b.Resources {
		r.Accept()
	}
	b.accepted.Store(true)
}

// Join gives the bytes that stand for the resources in a response of either protocol. Nobody may
// write to them.
func (b *Block) Join(delta bool) *Joined {
	b.mu.Lock()
	defer b.mu.Unlock()
	slot := &b.joined[0]
	if !delta {
		slot = &b.joined[1]
	}
	if known := slot.Value(); known != nil {
		return known
	}
	made := &Joined{}
	if len(b.Resources) == 1 {
		made.Bytes = b.Resources[0].Frame(delta)
	} else {
		made.Bytes = make([]byte, 0, b.size)
		for _, r := range b.Resources {
			made.Bytes = r.appendFrame(made.Bytes, delta)
		}
	}
	*slot = weak.Make(made)
	return made
}

// newBlock takes ownership of the list.
func newBlock(resources []*Resource) *Block {
	b := &Block{Resources: resources}
	for _, r := range resources {
		b.size += r.size
	}
	return b
}

// split puts resources, by name, into blocks.
func split(resources []*Resource) []*Block {
	var out []*Block
	for len(resources) > 0 {
		n, size := 1, resources[0].size
		for n < len(resources) && max(resources[0].size, resources[n].size) <= largeResource && size+resources[n].size <= blockSize {
			size += resources[n].size
			n++
		}
		out = append(out, newBlock(slices.Clip(resources[:n])))
		resources = resources[n:]
	}
	return out
}

// Lookup is what a set has for some names.
type Lookup struct {
	Blocks  []*Block // all resources, in no particular order of blocks
	Missing []string // names that the set lacks, sorted
	totals
}

// Len gives the number of resources.
func (s *Lookup) Len() int { return s.length }

// Equals tells whether the resources are exactly those that a client claims to hold.
func (s *Lookup) Equals(c *Claims) bool { return s.sum == c.sum && s.length == c.length }

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

// maxLookups bounds how many sets of names a set remembers its lookup for: those who watch
// the same view mostly ask for the same names.
const maxLookups = 16

// Lookup gives what the set has for names, all of it for nil. It is computed once for all streams
// that ask.
func (s *Set) Lookup(n *Names) *Lookup {
	s.mu.Lock()
	defer s.mu.Unlock()
	var id uint64 // no set of names has 0
	if n != nil {
		id = n.id
	}
	if known := s.lookups[id]; known != nil {
		return known
	}
	made := s.compute(n)
	if s.lookups == nil || len(s.lookups) >= maxLookups {
		s.lookups = map[uint64]*Lookup{}
	}
	s.lookups[id] = made
	return made
}

func (s *Set) compute(n *Names) *Lookup {
	if n == nil {
		return &Lookup{Blocks: s.cut(), totals: s.totals}
	}
	out := &Lookup{}
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
		out.Blocks = s.cut()
	} else {
		out.Blocks = split(list)
	}
	return out
}

// cut gives the set's blocks: those of the base, but for what is hidden, and those of its own
// resources. The caller holds the mutex.
func (s *Set) cut() []*Block {
	if s.blocks != nil {
		return s.blocks
	}
	if s.base != nil {
		s.blocks = uncovered(s.base.Lookup(nil).Blocks, s.over)
	}
	s.blocks = append(s.blocks, split(present(s.over))...)
	return s.blocks
}

// present gives the resources of entries, without what is hidden.
func present(entries []Entry) []*Resource {
	out := make([]*Resource, 0, len(entries))
	for _, e := range entries {
		if e.Resource != nil {
			out = append(out, e.Resource)
		}
	}
	return out
}

// uncovered gives blocks without the resources that entries hide.
func uncovered(blocks []*Block, over []Entry) []*Block {
	hidden := func(r *Resource) bool { return hides(over, r.Name) }
	out := make([]*Block, 0, len(blocks)+1)
	for _, b := range blocks {
		if slices.ContainsFunc(b.Resources, hidden) {
			if left := slices.DeleteFunc(slices.Clone(b.Resources), hidden); len(left) > 0 {
				out = append(out, newBlock(left))
			}
			continue
		}
		out = append(out, b)
	}
	return out
}

// blocksAfter gives the blocks of a set after changes, sorted by name, if it was asked for its own
// before and has no base. Those without a change stay, so that in a storm of changes little is put
// together again. It gives nil where it is time to cut anew.
func (s *Set) blocksAfter(changes []Entry) []*Block {
	s.mu.Lock()
	blocks := s.blocks
	s.mu.Unlock()
	if s.base != nil {
		return nil // its blocks are not in order
	}
	out := make([]*Block, 0, len(blocks))
	for i, b := range blocks {
		end := len(changes)
		if i+1 < len(blocks) { // what is new between two blocks goes into the first
			end, _ = slices.BinarySearchFunc(changes, Entry{Name: blocks[i+1].Resources[0].Name}, CompareEntries)
		}
		if end == 0 {
			out = append(out, b)
			continue
		}
		out = append(out, split(present(covered(entries(b.Resources), changes[:end])))...)
		changes = changes[end:]
	}
	if len(out) == 0 || len(out) > maxBlocks(s.bytes) {
		return nil
	}
	return out
}

// maxBlocks is how many blocks so many bytes have, unless many became small: large resources alone
// make up to blockSize/largeResource times as many as others.
func maxBlocks(bytes int) int { return 16 + bytes/largeResource }
