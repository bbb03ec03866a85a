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

// namesIn decodes pieces as one response.
func namesIn(t *testing.T, pieces []*Piece) []string {
	t.Helper()
	var wire []byte
	for _, p := range pieces {
		wire = append(wire, p.Join(true).Bytes...)
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

func TestSetsShareThePiecesOfTheirBase(t *testing.T) {
	var all []*Resource
	var want []string
	for i := range 100 {
		all = append(all, made(t, fmt.Sprintf("c%03d", i), 9000))
		want = append(want, all[i].Name)
	}
	base := NewSet(all...)
	shared := base.Select(nil).Pieces
	if len(shared) < 4 || !slices.Equal(namesIn(t, shared), want) {
		t.Fatalf("%d pieces", len(shared))
	}
	for _, p := range shared {
		if p.Size() > pieceSize {
			t.Errorf("a piece of %d bytes", p.Size())
		}
	}
	over := base.layer([]*Resource{made(t, "own", 1), made(t, "c050", 1)})
	pieces := over.Select(nil).Pieces
	if got := namesIn(t, pieces); !slices.Equal(got, append(slices.Clone(want), "own")) {
		t.Errorf("got %v", got)
	}
	reused := 0
	for _, p := range pieces {
		if slices.Contains(shared, p) {
			reused++
		}
	}
	if reused != len(shared)-1 {
		t.Errorf("%d of %d pieces are shared, want all but that of the hidden resource", reused, len(shared))
	}
	if again := shared[0].Join(true); !bytes.Equal(again.Bytes, shared[0].Join(true).Bytes) || &again.Bytes[0] != &shared[0].Join(true).Bytes[0] {
		t.Error("bytes are put together twice")
	}
}

func TestLargeResourcesStandAloneAndAreNotCopied(t *testing.T) {
	big := made(t, "b", largeResource)
	pieces := NewSet(made(t, "a", 1), big, made(t, "c", 1)).Select(nil).Pieces
	if len(pieces) != 3 || &pieces[1].Join(true).Bytes[0] != &big.Delta()[0] {
		t.Errorf("%d pieces", len(pieces))
	}
	if sotw := pieces[0].Join(false).Bytes; !bytes.Equal(sotw, pieces[0].Resources[0].SotW()) {
		t.Error("the other protocol gets other bytes")
	}
}

func TestSelection(t *testing.T) {
	p := NewNamesPool()
	a, b, c := made(t, "a", 1), made(t, "b", 1), made(t, "c", 1)
	s := NewSet(a, b).layer([]*Resource{c})
	some := named(p, "0", "c", "a", "bb", "d")
	got := s.Select(some)
	if !slices.Equal(got.Missing, []string{"0", "bb", "d"}) || !slices.Equal(namesIn(t, got.Pieces), []string{"a", "c"}) || got.Len() != 2 {
		t.Errorf("got %v, missing %v", namesIn(t, got.Pieces), got.Missing)
	}
	if s.Select(some) != got {
		t.Error("it is computed again for the same names")
	}
	whole := s.Select(named(p, "a", "b", "c", "z"))
	if all := s.Select(nil); !slices.Equal(whole.Pieces, all.Pieces) || all.Len() != 3 {
		t.Error("names of all resources do not share the pieces of the set")
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

func TestAcceptedPieceAcceptsItsResources(t *testing.T) {
	a, b := made(t, "a", 1), made(t, "b", 1)
	NewSet(a, b).Select(nil).Pieces[0].Accept()
	if !a.Accepted() || !b.Accepted() {
		t.Error("not all are accepted")
	}
}

func TestChangedSetKeepsThePiecesThatDidNotChange(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var all []*Resource
	for i := range 200 {
		all = append(all, made(t, fmt.Sprintf("c%03d", 2*i), 9000))
	}
	s := NewSet(all...)
	s.Select(nil)
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
		for _, p := range next.pieces {
			if slices.Contains(s.pieces, p) {
				kept++
			}
		}
		if next.pieces != nil && kept < len(s.pieces)-len(changes) {
			t.Fatalf("%d of %d pieces stay after %d changes", kept, len(s.pieces), len(changes))
		}
		var want, got []*Resource
		for r := range next.All() {
			want = append(want, r)
		}
		for _, p := range next.Select(nil).Pieces {
			got = append(got, p.Resources...)
			if p.Size() > pieceSize && len(p.Resources) > 1 {
				t.Fatalf("a piece of %d bytes", p.Size())
			}
		}
		if !slices.Equal(got, want) {
			t.Fatal("the pieces hold something else than the set")
		}
		s = next
	}
}
