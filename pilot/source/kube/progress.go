package kube

import (
	"container/heap"
	"sync"

	"github.com/pilothouse-mesh/pilothouse/proto/seen"
)

// progress is how far kinds have been followed, and who waits for them to come further. Who waits for several kinds
// does so for one after the other: a change costs what is due to the versions that it passes, however many wait.
// It has a mutex of its own, so that streams do not wait for what the sink is told.
type progress struct {
	mu    sync.Mutex
	kinds map[string]*position
}

// position is how far a kind has been followed.
type position struct {
	// told is the version of the last list or change: what is handed to the sink is at least as new.
	told string
	// reached is told, or that of a later bookmark: the kind has not changed up to there. Bookmarks are not
	// told, since others have theirs at other times and would wait for one.
	reached string
	// marks are what is waited for, the oldest version first, and by version.
	marks     marks
	byVersion map[string]*mark
}

// mark is a version of a kind that has not been reached. All who wait for it share it.
type mark struct {
	of      *position
	version string
	waiting int           // those who do
	at      int           // its place among the marks
	passed  chan struct{} // closed when the version was reached, or the kind is not followed any more
}

func newProgress() *progress { return &progress{kinds: map[string]*position{}} }

// versions gives one of each kind that has been listed.
func (p *progress) versions(which func(*position) string) seen.Versions {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := make(map[string]string, len(p.kinds))
	for kind, k := range p.kinds {
		if version := which(k); version != "" {
			out[kind] = version
		}
	}
	return seen.Of(out)
}

// follow lets a kind be waited for before anything of it is known.
func (p *progress) follow(kind string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.kinds[kind] == nil {
		p.kinds[kind] = &position{}
	}
}

// unfollow forgets a kind. Nobody waits for it any more.
func (p *progress) unfollow(kind string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if k := p.kinds[kind]; k != nil {
		delete(p.kinds, kind)
		k.pass(func(string) bool { return true })
	}
}

// moved notes how far a kind has come. A version that cannot be compared makes it one that is not followed, and is
// not ok.
func (p *progress) moved(kind, version string, bookmark bool) (ok bool) {
	if !seen.Comparable(version) {
		p.unfollow(kind)
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	k := p.kinds[kind]
	if k == nil {
		k = &position{}
		p.kinds[kind] = k
	}
	k.reached = version
	if !bookmark {
		k.told = version
	}
	k.pass(k.covers)
	return true
}

// await gives what has to be waited for next, nil for nothing, and the place in the versions from which to go on then.
// Definitions come first: until they are reached, a kind that is not there may come.
func (p *progress) await(to seen.Versions, from int) (m *mark, next int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m = p.kinds[definitionsKind].await(to.Of(definitionsKind)); m != nil {
		return m, from
	}
	for next = from; next < len(to) && m == nil; next++ {
		m = p.kinds[to[next].Kind].await(to[next].Version)
	}
	return m, next
}

// leave ends a wait before its time.
func (p *progress) leave(m *mark) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if m.waiting--; m.waiting == 0 && m.at >= 0 {
		heap.Remove(&m.of.marks, m.at)
		delete(m.of.byVersion, m.version)
	}
}

// lacking gives those of the versions that have not been reached.
func (p *progress) lacking(to seen.Versions) seen.Versions {
	p.mu.Lock()
	defer p.mu.Unlock()
	defined := p.kinds[definitionsKind].covers(to.Of(definitionsKind))
	var out seen.Versions
	for _, v := range to {
		if k := p.kinds[v.Kind]; !k.covers(v.Version) || k == nil && !defined {
			out = append(out, v)
		}
	}
	return out
}

// covers tells whether a version was reached. A kind that is not followed, nil, covers all.
func (k *position) covers(version string) bool {
	return k == nil || version == "" || seen.Compare(k.reached, version) >= 0
}

// await gives the mark of a version; nil for one that was reached.
func (k *position) await(version string) *mark {
	if k.covers(version) {
		return nil
	}
	m := k.byVersion[version]
	if m == nil {
		m = &mark{of: k, version: version, passed: make(chan struct{})}
		heap.Push(&k.marks, m)
		if k.byVersion == nil {
			k.byVersion = map[string]*mark{}
		}
		k.byVersion[version] = m
	}
	m.waiting++
	return m
}

// pass lets those go on who wait for versions that are covered, of which the oldest are.
func (k *position) pass(covered func(version string) bool) {
	for len(k.marks) > 0 && covered(k.marks[0].version) {
		m := heap.Pop(&k.marks).(*mark)
		delete(k.byVersion, m.version)
		close(m.passed)
	}
}

// marks are a heap of container/heap.
type marks []*mark

func (h marks) Len() int           { return len(h) }
func (h marks) Less(i, j int) bool { return seen.Compare(h[i].version, h[j].version) < 0 }

func (h marks) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}

// Push adds a mark.
func (h *marks) Push(m any) {
	m.(*mark).at = len(*h)
	*h = append(*h, m.(*mark))
}

// Pop takes the last mark out, which has no place then.
func (h *marks) Pop() any {
	last := len(*h) - 1
	m := (*h)[last]
	(*h)[last] = nil
	*h, m.at = (*h)[:last], -1
	return m
}
