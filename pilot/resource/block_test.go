package resource

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/protobuf/proto"
)

func made(t *testing.T, name string, size int) *Resource {
	t.Helper()
	r, err := New(Clusters, name, &clusterv3.Cluster{
		Name: name, AltStatName: strings.Repeat("x", size), ClusterDiscoveryType: &clusterv3.Cluster_Type{Type: clusterv3.Cluster_EDS},
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// namesIn decodes blocks as one response.
func namesIn(t *testing.T, blocks []*Block) []string {
	t.Helper()
	var wire []byte
	for _, b := range blocks {
		wire = append(wire, b.Join(true).Bytes...)
	}
	var m discoveryv3.DeltaDiscoveryResponse
	if err := proto.Unmarshal(wire, &m); err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, r := range m.GetResources() {
		out = append(out, r.GetName())
	}
	slices.Sort(out)
	return out
}

// layered gives a set of a base with some resources over it.
func layered(base *Set, over ...*Resource) *Set {
	return newSet(base, entries(over), base.after(entries(over)))
}

func TestSetsShareTheBlocksOfTheirBase(t *testing.T) {
	var all []*Resource
	var want []string
	for i := range 100 {
		all = append(all, made(t, fmt.Sprintf("c%03d", i), 9000))
		want = append(want, all[i].Name)
	}
	base := NewSet(all...)
	shared := base.Lookup(nil).Blocks
	if len(shared) < 4 || !slices.Equal(namesIn(t, shared), want) {
		t.Fatalf("%d blocks", len(shared))
	}
	for _, p := range shared {
		if p.Size() > blockSize {
			t.Errorf("a block of %d bytes", p.Size())
		}
	}
	over := layered(base, made(t, "own", 1), made(t, "c050", 1))
	blocks := over.Lookup(nil).Blocks
	if got := namesIn(t, blocks); !slices.Equal(got, append(slices.Clone(want), "own")) {
		t.Errorf("got %v", got)
	}
	reused := 0
	for _, b := range blocks {
		if slices.Contains(shared, b) {
			reused++
		}
	}
	if reused != len(shared)-1 {
		t.Errorf("%d of %d blocks are shared, want all but that of the hidden resource", reused, len(shared))
	}
	if again := shared[0].Join(true); !bytes.Equal(again.Bytes, shared[0].Join(true).Bytes) || &again.Bytes[0] != &shared[0].Join(true).Bytes[0] {
		t.Error("bytes are put together twice")
	}
}

func TestLargeResourcesStandAloneAndAreNotCopied(t *testing.T) {
	big := made(t, "b", largeResource)
	blocks := NewSet(made(t, "a", 1), big, made(t, "c", 1)).Lookup(nil).Blocks
	if len(blocks) != 3 || &blocks[1].Join(true).Bytes[0] != &big.Frame(true)[0] {
		t.Errorf("%d blocks", len(blocks))
	}
	if sotw := blocks[0].Join(false).Bytes; !bytes.Equal(sotw, blocks[0].Resources[0].Frame(false)) {
		t.Error("the other protocol gets other bytes")
	}
}

func TestLookup(t *testing.T) {
	p := NewNamesPool()
	a, b, c := made(t, "a", 1), made(t, "b", 1), made(t, "c", 1)
	s := layered(NewSet(a, b), c)
	some := named(p, "0", "c", "a", "bb", "d")
	got := s.Lookup(some)
	if !slices.Equal(got.Missing, []string{"0", "bb", "d"}) || !slices.Equal(namesIn(t, got.Blocks), []string{"a", "c"}) || got.Len() != 2 {
		t.Errorf("got %v, missing %v", namesIn(t, got.Blocks), got.Missing)
	}
	if s.Lookup(some) != got {
		t.Error("it is computed again for the same names")
	}
	whole := s.Lookup(named(p, "a", "b", "c", "z"))
	if all := s.Lookup(nil); !slices.Equal(whole.Blocks, all.Blocks) || all.Len() != 3 {
		t.Error("names of all resources do not share the blocks of the set")
	}
	var claims Claims
	claims.Add([]byte("a"), []byte(a.Version))
	if got.Equals(&claims) {
		t.Error("a part is taken for all")
	}
	claims.Add([]byte("c"), []byte(c.Version))
	if !got.Equals(&claims) {
		t.Error("what is claimed is not found to be all")
	}
	claims = Claims{}
	claims.Add([]byte("a"), []byte(a.Version))
	claims.Add([]byte("c"), []byte(b.Version))
	if got.Equals(&claims) {
		t.Error("another version is taken for the same")
	}
	for _, r := range []*Resource{a, b, c} {
		if s.Find([]byte(r.Name)) != r {
			t.Errorf("%s is not found", r.Name)
		}
	}
	if s.Find([]byte("bb")) != nil {
		t.Error("found what is not there")
	}
}

func TestAcceptedBlockAcceptsItsResources(t *testing.T) {
	a, b := made(t, "a", 1), made(t, "b", 1)
	NewSet(a, b).Lookup(nil).Blocks[0].Accept()
	if !a.Accepted() || !b.Accepted() {
		t.Error("not all are accepted")
	}
}

func TestChangedSetKeepsTheBlocksThatDidNotChange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var all []*Resource
	for i := range 200 {
		all = append(all, made(t, fmt.Sprintf("c%03d", 2*i), 9000))
	}
	s := NewSet(all...)
	s.Lookup(nil)
	for range 100 {
		var changes []Entry
		for range 1 + rng.IntN(3) {
			name := fmt.Sprintf("c%03d", rng.IntN(420))
			if rng.IntN(2) == 0 {
				changes = append(changes, Entry{name, nil})
			} else {
				changes = append(changes, Entry{name, made(t, name, rng.IntN(2*largeResource))})
			}
		}
		slices.SortStableFunc(changes, CompareEntries)
		changes = slices.CompactFunc(changes, func(a, b Entry) bool { return a.Name == b.Name })
		next := s.with(changes)
		kept := 0
		for _, p := range next.blocks {
			if slices.Contains(s.blocks, p) {
				kept++
			}
		}
		if next.blocks != nil && kept < len(s.blocks)-len(changes) {
			t.Fatalf("%d of %d blocks stay after %d changes", kept, len(s.blocks), len(changes))
		}
		var want, got []*Resource
		for r := range next.All() {
			want = append(want, r)
		}
		for _, p := range next.Lookup(nil).Blocks {
			got = append(got, p.Resources...)
			if p.Size() > blockSize && len(p.Resources) > 1 {
				t.Fatalf("a block of %d bytes", p.Size())
			}
		}
		if !slices.Equal(got, want) {
			t.Fatal("the blocks hold something else than the set")
		}
		s = next
	}
}
