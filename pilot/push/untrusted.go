package push

import (
	"container/list"
	"crypto/sha256"
	"slices"

	"github.com/pilothouse-mesh/pilothouse/pilot/resource"
)

// Untrusted is what a proxy may run of each type that is something else than it claims, because its
// stream broke before a rejected response was repaired, or before it answered one. It is nil for most.
type Untrusted map[resource.Type]UntrustedNames

// UntrustedNames is what is suspected of one type: everything, or some names. Of what is in blocks the proxy
// may have what it does not claim.
type UntrustedNames struct {
	All    bool
	Names  []string
	Blocks []*resource.Block
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
		All: before.All || d.All, Names: slices.Concat(before.Names, d.Names), Blocks: slices.Concat(before.Blocks, d.Blocks),
	}
}

// size estimates what remembering takes, in bytes.
func (s Untrusted) size() int {
	n := untrustedOverhead
	for _, d := range s {
		n += len(d.Blocks) * untrustedOverhead
		for _, name := range d.Names {
			n += len(name) + untrustedOverhead
		}
	}
	return n
}

const (
	// maxUntrusted bounds how many disconnected proxies are remembered; some never come back.
	maxUntrusted = 10000
	// maxUntrustedBytes bounds what is remembered of all of them together.
	maxUntrustedBytes = 32 << 20
	// maxUntrustedNode bounds what is remembered of one; a proxy of 10,000 clusters needs less. Of
	// more it is remembered that nothing is to be trusted, and not the names.
	maxUntrustedNode = 2 << 20
	// untrustedOverhead is what an entry takes beside its name.
	untrustedOverhead = 64
)

// untrustedNodes are what is suspected of disconnected proxies. They are known by a hash of what they
// proved and of their node's ID, so that nobody without that proof can take an entry away.
type untrustedNodes struct {
	byNode   map[nodeHash]*list.Element
	oldest   *list.List // of untrustedNode
	bytes    int
	maxNodes int
	maxBytes int
}

type nodeHash [16]byte

type untrustedNode struct {
	node  nodeHash
	what  []untrustedType
	bytes int
}

// untrustedType is what is suspected of one type. A list of them takes a tenth of what a map does, and most
// proxies have one.
type untrustedType struct {
	typ  resource.Type
	what UntrustedNames
}

func newUntrustedNodes(maxNodes, maxBytes int) *untrustedNodes {
	return &untrustedNodes{byNode: map[nodeHash]*list.Element{}, oldest: list.New(), maxNodes: maxNodes, maxBytes: maxBytes}
}

func hashOf(n *Node) nodeHash {
	sum := sha256.Sum256([]byte(n.Identity + "\x00" + n.ID))
	return nodeHash(sum[:len(nodeHash{})])
}

// put notes what is suspected of a proxy, in place of what was before. Of too many, or too large
// ones, the oldest go.
func (s *untrustedNodes) put(n *Node, what Untrusted) {
	s.take(n)
	if what.size() > maxUntrustedNode {
		all := Untrusted{}
		for t := range what {
			all[t] = UntrustedNames{All: true}
		}
		what = all
	}
	entry := untrustedNode{node: hashOf(n), what: make([]untrustedType, 0, len(what)), bytes: what.size()}
	for t, d := range what {
		entry.what = append(entry.what, untrustedType{t, d})
	}
	s.byNode[entry.node] = s.oldest.PushBack(entry)
	s.bytes += entry.bytes
	for len(s.byNode) > s.maxNodes || s.bytes > s.maxBytes {
		s.remove(s.oldest.Front())
	}
}

// take gives what is suspected of a proxy, or nil, and forgets it.
func (s *untrustedNodes) take(n *Node) Untrusted {
	at := s.byNode[hashOf(n)]
	if at == nil {
		return nil
	}
	out := Untrusted{}
	for _, d := range s.remove(at).what {
		out[d.typ] = d.what
	}
	return out
}

func (s *untrustedNodes) remove(at *list.Element) untrustedNode {
	entry := s.oldest.Remove(at).(untrustedNode)
	delete(s.byNode, entry.node)
	s.bytes -= entry.bytes
	return entry
}
